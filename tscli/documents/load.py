"""Read all files through worker processes, with limits per page; every file ends as a document, a failure, or passed over."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from tscli.documents.document import Document, Failure, Loaded
from tscli.documents.walk import FoundFile, WalkOptions, walk

OnFile = Callable[[str, int, int], None]  # path, done, total
# A file that loses this many pages to the limits is given up: each costs the whole time limit.
MOST_LOST_PAGES = 20


@dataclass
class _Limits:
    page_seconds: float
    memory_bytes: int


@dataclass
class _Reading:
    """What is known of a file so far."""

    sha256: str = ""
    count: int = 0
    encoding: str | None = None
    paged: bool = False
    pages: dict[int, str] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)


def load(
    paths: Sequence[Path],
    *,
    options: WalkOptions = WalkOptions(),  # noqa: B008 - frozen
    passwords: Sequence[str] = (),
    page_seconds: float = 20.0,
    memory_bytes: int = 2 << 30,
    workers: int = 2,
    on_file: OnFile | None = None,
) -> Loaded:
    """Read the files of these paths. A page that takes longer or more memory than allowed is lost, not its file.

    Raises UsageError for a path that does not exist.
    """
    files = walk(paths, options)
    limits = _Limits(page_seconds, memory_bytes)
    pool: queue.Queue[_Worker] = queue.Queue()
    done: queue.Queue[int] = queue.Queue()
    started = [_Worker(limits) for _ in range(max(1, min(workers, len(files))))]
    for worker in started:
        pool.put(worker)

    def one(file: FoundFile) -> Document | Failure | None:
        worker = pool.get()
        try:
            return _read(worker, file, passwords)
        finally:
            pool.put(worker)
            done.put(1)
            if on_file is not None:
                on_file(file.path, done.qsize(), len(files))

    try:
        with ThreadPoolExecutor(len(started)) as threads:
            results = list(threads.map(one, files))
    finally:
        for worker in started:
            worker.stop()
    return Loaded(
        tuple(result for result in results if isinstance(result, Document)),
        tuple(result for result in results if isinstance(result, Failure)),
    )


class _Worker:
    """A worker process and the pipe to it; started when needed, replaced when it dies or is too slow."""

    def __init__(self, limits: _Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Any = None

    def request(self, path: Path, passwords: Sequence[str], first_page: int) -> None:
        if self._process is None:
            self._start()
        self._pipe.send((str(path), tuple(passwords), first_page))

    def answer(self) -> tuple[Any, ...] | str:
        """The next message, or why there is none; then the process is gone."""
        try:
            if self._pipe.poll(self.limits.page_seconds):
                message: tuple[Any, ...] = self._pipe.recv()
                return message
            reason = f"took longer than {self.limits.page_seconds:g} s"
        except (EOFError, OSError):
            reason = "ended the reading process (out of memory or a crash)"
        self.stop()
        return reason

    def stop(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        mine, theirs = Pipe()
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "tscli.documents.worker", str(theirs.fileno()), str(self.limits.memory_bytes)]
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL
        )
        theirs.close()
        self._pipe = mine


def _read(worker: _Worker, file: FoundFile, passwords: Sequence[str]) -> Document | Failure | None:
    """One file through the worker, which is started anew behind each page that was lost."""
    reading, next_page = _Reading(), 1
    while True:
        worker.request(file.source, passwords, next_page)
        while True:
            message = worker.answer()
            if isinstance(message, str) or message[0] != "page":
                if not isinstance(message, str) and message[0] == "open":
                    _, reading.sha256, reading.count, reading.encoding, reading.paged = message
                    continue
                break
            _, number, reading.pages[message[1]] = message
            next_page = number + 1
        if message == ("done",):
            return _finish(file, reading)
        if message == ("skip",):
            return Failure(file.path, "is a binary file of no kind that is read") if file.named else None
        reason = message if isinstance(message, str) else str(message[1])
        if not reading.paged or next_page > reading.count:
            return Failure(file.path, reason)
        reading.lost.append(next_page)
        next_page += 1
        if next_page > reading.count or len(reading.lost) >= MOST_LOST_PAGES:
            reading.lost += range(next_page, reading.count + 1)
            return _finish(file, reading, reason)


def _finish(file: FoundFile, reading: _Reading, reason: str = "") -> Document | Failure:
    pages = tuple(reading.pages.get(number, "") for number in range(1, reading.count + 1))
    without = tuple(number for number, text in enumerate(pages, start=1) if not text.strip())
    if not reading.paged and without:
        return Failure(file.path, "is empty")
    warnings = []
    if reading.lost:
        numbers = ", ".join(str(number) for number in reading.lost[:10])
        warnings.append(f"{len(reading.lost)} of {reading.count} pages lost to the limits of time and memory: {numbers}")
    scanned = [number for number in without if number not in reading.lost]
    if scanned:
        warnings.append(f"{len(scanned)} of {reading.count} pages without text; if they are scans, OCRmyPDF adds it")
    return Document(
        path=file.path,
        source=str(file.source),
        sha256=reading.sha256,
        pages=pages,
        pages_without_text=without,
        paged=reading.paged,
        encoding=reading.encoding,
        warnings=tuple(warnings),
    )
