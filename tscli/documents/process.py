"""The parent's side of a worker process: started when needed, ended when too slow, replaced when it died. Opens no file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tscli.errors import ResourceError
from tscli.processes import start

START_SECONDS = 120.0  # imports from a cold disk; not part of any page's time
OCR_SECONDS = 120.0  # what a page that is read by OCR may take more than others

Message = tuple[Any, ...]


@dataclass(frozen=True)
class Limits:
    """What one page may take: wall-clock seconds, and bytes of address space of the whole process. ocr: as of `find_engine`.
    encoding: of text files that do not say their own."""

    page_seconds: float
    memory_bytes: int
    ocr: str = "off"
    encoding: str | None = None


@dataclass(frozen=True)
class Ended:
    """The worker is gone and its page with it; crashed: by itself, so that its memory may have been the cause."""

    reason: str
    crashed: bool


class Cancelled(Exception):
    """The run is over: no worker starts any more."""


class WorkerProcess:
    """One worker. All calls but `cancel` come from one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.num_requests = 0  # of the process that runs now
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Any = None
        self._cancelled = False

    def request(self, path: Path, passwords: Sequence[str], first_page: int) -> None:
        """Ask for the pages of a file from `first_page` on; the answers come by `answer`."""
        if self._process is None:
            self._start()
        self.num_requests += 1
        try:
            self._pipe.send(self._request(path, passwords, first_page))
        except OSError:  # it died while idle
            self.stop()
            self._start()
            self.num_requests = 1
            self._pipe.send(self._request(path, passwords, first_page))

    def _request(self, path: Path, passwords: Sequence[str], first_page: int) -> Message:
        return str(path), tuple(passwords), first_page, self.limits.ocr, self.limits.encoding

    def answer(self, more_seconds: float = 0.0) -> Message | Ended:
        """The next message, or why there is none; then the process is gone. more_seconds: than a page may take."""
        try:
            if self._pipe.poll(self.limits.page_seconds + more_seconds):
                message: Message = self._pipe.recv()
                if message != ("memory",):
                    return message
                ended = Ended(f"took more memory than {self.limits.memory_bytes / (1 << 20):.0f} MiB", True)
            else:
                ended = Ended(f"took longer than {self.limits.page_seconds + more_seconds:g} s", False)
        except (EOFError, OSError):
            ended = Ended("ended the reading process (out of memory or a crash)", True)
        self.stop()
        return ended

    def cancel(self) -> None:
        """From another thread: end the process, so that whoever waits for it goes on, and start no other."""
        self._cancelled = True
        if (process := self._process) is not None:
            process.kill()

    def stop(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.wait()
            self._process = None
            self.num_requests = 0

    def _start(self) -> None:
        arguments = (self.limits.memory_bytes, self.limits.page_seconds)
        self._process, self._pipe = start("tscli.documents.worker", *arguments, stderr=subprocess.PIPE)
        try:
            started = self._pipe.poll(START_SECONDS) and self._pipe.recv() == ("ready",)
        except (EOFError, OSError):
            started = False
        complaint = self._process.stderr
        if self._cancelled or not started:
            self._process.kill()
            last = complaint.read().decode(errors="replace").strip().split("\n")[-1] if complaint else ""
            self.stop()
            if self._cancelled:
                raise Cancelled
            raise ResourceError(
                f"the process that reads documents does not start ({last or 'no answer'}); free some memory, then "
                "run the command again"
            )
        if complaint:
            complaint.close()
