"""The process that reads files, so that a page which hangs or explodes takes nothing else with it.

Started as `python -m tscli.documents.worker FD MEMORY_BYTES PAGE_SECONDS`. Says ("ready",), then takes requests (path,
passwords, first page, encoding) on the pipe. For each it answers ("open", Opened), per page ("page", number, text) or ("lost",
number, reason), and last ("done",); or ("skip", reason) for a file that nobody expects to be read, ("memory",) where memory ran
out, ("error", reason).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tscli.documents import pdf, plain
from tscli.documents.document import Opened
from tscli.documents.kinds import kind_of
from tscli.documents.read import Unreadable, pages_of

HEAD_BYTES = 8192
BLOCK_BYTES = 1 << 20
MOST_PAGES = 250_000  # a file may say anything
# The parent ends a page in time; should the parent itself be killed, a hanging worker ends by its own alarm, this much later.
ALARM_SECONDS = 5.0


def serve(pipe: Connection, page_seconds: float) -> None:
    """Answer requests until the pipe closes."""

    def rewind() -> None:
        signal.setitimer(signal.ITIMER_REAL, page_seconds + ALARM_SECONDS)

    pipe.send(("ready",))
    while True:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            path, passwords, first_page, encoding = pipe.recv()
        except EOFError:
            return
        rewind()
        try:
            for message in read(Path(path), passwords, first_page, encoding):
                pipe.send(message)
                rewind()
        except MemoryError:
            pipe.send(("memory",))
        except (pdf.Encrypted, Unreadable) as error:
            pipe.send(("error", str(error)))
        except OSError as error:
            pipe.send(("error", f"cannot be read ({error.strerror or error})"))
        except Exception as error:  # whatever a parser raises on a hostile file loses that file only
            pipe.send(("error", f"cannot be read ({_in_short(error)})"))


def read(path: Path, passwords: Sequence[str], first_page: int, encoding: str | None = None) -> Iterator[tuple[object, ...]]:
    """The messages for one file, with its pages from `first_page` on. encoding: of text that does not say its own."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind, reason = kind_of(path.name.lower(), head, encoding)
    if kind in ("skip", "error"):
        yield kind, reason
        return
    if kind == "pdf":
        yield from _read_pdf(path, passwords, first_page)
    else:
        yield from _read_other(kind, path, first_page, encoding)
    yield ("done",)


def _read_other(kind: str, path: Path, first_page: int, encoding: str | None) -> Iterator[tuple[object, ...]]:
    before = _state(path)
    pages = pages_of(kind, path, path.suffix.lower(), encoding)
    if pages.count > MOST_PAGES:
        raise ValueError(f"it says that it has {pages.count:,} pages, of at most {MOST_PAGES:,}")
    yield "open", Opened(_digest(path), pages.count, pages.paged, pages.encoding, pages.warnings, pages.labels, pages.noun)
    for number in range(first_page, pages.count + 1):
        try:
            text = pages.text(number - 1)
        except Unreadable as error:
            yield "lost", number, str(error)
        else:
            yield "page", number, text
    if _state(path) != before:
        raise ValueError("it changed meanwhile; ingest it again")


def _read_pdf(path: Path, passwords: Sequence[str], first_page: int) -> Iterator[tuple[object, ...]]:
    """The file is opened more than once: its pages are of one file only where it was the same before and after."""
    before = _state(path)
    pages = pdf.PdfPages(path, passwords)
    if pages.count > MOST_PAGES:
        raise ValueError(f"it says that it has {pages.count:,} pages, of at most {MOST_PAGES:,}")
    yield "open", Opened(_digest(path), pages.count, True)
    for number in range(first_page, pages.count + 1):
        try:
            text = plain.clean(pages.text(number - 1))
        except MemoryError:
            raise
        except Exception as error:  # both parsers gave up on this page
            yield "lost", number, _in_short(error)
        else:
            yield "page", number, text
    if _state(path) != before:
        raise ValueError("it changed meanwhile; ingest it again")


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _in_short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _limit_memory(num_bytes: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = num_bytes if most == resource.RLIM_INFINITY else min(num_bytes, most)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses this limit; the time limit holds there all the same
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Limit memory, fall silent, then serve the pipe that the parent handed over."""
    descriptor, memory_bytes, page_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers itself
    _limit_memory(memory_bytes)
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())  # parsers in C write their complaints there
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(Connection(descriptor), page_seconds)


if __name__ == "__main__":
    main()
