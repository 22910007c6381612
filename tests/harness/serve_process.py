"""`tscli serve` as a process, what its clients hear, and how much memory it has: for the harnesses that load it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]
START_S = 180.0


@dataclass(frozen=True)
class Heard:
    """One answer as it came. text: None where it was cut or refused; status: 0 where there was no connection."""

    status: int
    text: str | None
    first_s: float | None
    total_s: float
    tokens: int = 0
    error: str = ""


class ServeProcess:
    """The server; may be killed and started again at the same address."""

    def __init__(self, library: str, *flags: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address, self._library = f"http://127.0.0.1:{port}", library
        self._line = [
            sys.executable,
            "-m",
            "tscli",
            "--quiet",
            "serve",
            "-l",
            library,
            "--port",
            str(port),
            "--no-history",
            *flags,
        ]
        self.start()

    def start(self) -> None:
        """Until it answers /health; AssertionError where it does not."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
        self.process = subprocess.Popen(self._line, env={**os.environ, "PYTHONPATH": path})
        until = time.monotonic() + START_S
        while True:
            assert self.process.poll() is None, f"tscli serve ended with {self.process.returncode}"
            assert time.monotonic() < until, "tscli serve does not answer"
            try:
                if httpx.get(f"{self.address}/health", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As Ctrl-C does; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def memory_bytes(self) -> dict[str, int]:
        """Resident memory: all of it, and what is no mapped file (a library's pages are mapped files)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        found = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "RssAnon")))
        return {name: 1024 * int(value.split()[0]) for name, value in found.items()}

    def ask(self, client: httpx.Client, question: str, *, pause_s: float = 0.0, leave_after_s: float | None = None) -> Heard:
        """A streamed answer. pause_s: between its events; leave_after_s: when the client hangs up, None for never."""
        started, first, pieces = time.perf_counter(), None, list[str]()
        usage: dict[str, Any] = {}
        body = self.body(question, stream=True, stream_options={"include_usage": True})
        try:
            with client.stream("POST", "/v1/chat/completions", json=body) as reply:
                if reply.status_code != 200:
                    return Heard(reply.status_code, None, None, time.perf_counter() - started, 0, reply.read().decode())
                for line in reply.iter_lines():
                    now = time.perf_counter() - started
                    if leave_after_s is not None and now > leave_after_s:
                        return Heard(499, None, first, now)
                    if line == "data: [DONE]":
                        return Heard(200, "".join(pieces), first, now, int(usage.get("completion_tokens", 0)))
                    if not line.startswith("data: "):
                        continue
                    event = json.loads(line.removeprefix("data: "))
                    if "error" in event:
                        return Heard(503, None, first, now, 0, line)
                    usage = event.get("usage") or usage
                    text = "".join(choice["delta"].get("content") or "" for choice in event["choices"])
                    first = now if text and first is None else first
                    pieces.append(text)
                    time.sleep(pause_s)
            return Heard(0, None, first, time.perf_counter() - started, 0, "the stream was cut")
        except httpx.HTTPError as error:
            return Heard(0, None, first, time.perf_counter() - started, 0, type(error).__name__)

    def body(self, question: str, **more: Any) -> dict[str, Any]:
        """A request's."""
        return {"model": self._library, "messages": [{"role": "user", "content": question}], "max_tokens": 48, **more}


def percentile(values: list[float], share: float) -> float | None:
    """The value below which so much of them lies; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def questions_of(file: Path, limit: int) -> list[str]:
    """The first questions of a file of JSON lines."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines if line.strip()][:limit]


@contextmanager
def served(name: str | None) -> Iterator[str]:
    """The library that is named, or one of samples/ by the embedded reader in a home of its own."""
    if name is not None:
        yield name
        return
    import tscli

    with TemporaryDirectory(prefix="tscli-serve-") as folder:
        os.environ["TSCLI_HOME"] = folder
        files = [ROOT / "samples" / file for file in ("harbour-handbook.pdf", "lighthouse-log.txt")]
        tscli.prepare(files, "samples", load=tscli.LoadOptions("reader")).run()
        yield "samples"
