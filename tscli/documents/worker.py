"""The process that reads files, so that a page which hangs or explodes takes nothing else with it.

Started as `python -m tscli.documents.worker FD MEMORY_BYTES PAGE_SECONDS`. Says ("ready",), then takes requests (path,
passwords, first page, OCR's setting, encoding) on the pipe. For each it answers ("open", Opened), per page ("page", number,
text, notes) or ("lost", number, reason), before a page that takes OCR's time ("ocr", number), and last ("done",); or ("skip",
reason) for a file that nobody expects to be read, ("memory",) where memory ran out, ("error", reason). Files within a PDF come
behind its pages: ("attached", name, Opened) and their pages, or ("note", text) about one that is not read.
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

from tscli.documents import ocr, pdf, pdf_refusal, plain
from tscli.documents.document import Opened
from tscli.documents.kinds import kind_of
from tscli.documents.process import OCR_SECONDS
from tscli.documents.read import Pages, Unexpected, Unreadable, pages_of

HEAD_BYTES = 8192
BLOCK_BYTES = 1 << 20
MOST_PAGES = 250_000  # a file may say anything
# The parent ends a page in time; should the parent itself be killed, a hanging worker ends by its own alarm, this much later.
ALARM_SECONDS = 5.0


def serve(pipe: Connection, page_seconds: float) -> None:
    """Answer requests until the pipe closes."""

    def rewind(seconds: float = page_seconds) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds + ALARM_SECONDS)

    pipe.send(("ready",))
    while True:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            path, passwords, first_page, ocr_setting, encoding = pipe.recv()
        except EOFError:
            return
        rewind()
        try:
            for message in read(Path(path), passwords, first_page, ocr_setting, encoding):
                pipe.send(message)
                rewind(page_seconds + (OCR_SECONDS if message[0] == "ocr" else 0.0))
        except MemoryError:
            pipe.send(("memory",))
        except Unexpected as error:
            pipe.send(("skip", str(error)))
        except (pdf.Encrypted, pdf.Refused, Unreadable) as error:
            pipe.send(("error", str(error)))
        except OSError as error:
            pipe.send(("error", f"cannot be read ({error.strerror or error})"))
        except RecursionError:
            pipe.send(("error", "nests too many parts inside each other; save it again from the program that made it"))
        except Exception as error:  # whatever a parser raises on a hostile file loses that file only
            pipe.send(("error", f"cannot be read ({_in_short(error)})"))


def read(
    path: Path, passwords: Sequence[str], first_page: int, ocr_setting: str = "off", encoding: str | None = None
) -> Iterator[tuple[object, ...]]:
    """The messages for one file, with its pages from `first_page` on. ocr_setting: as `ocr.find_engine` takes it; encoding: of
    text that does not say its own."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    is_pdf = pdf_refusal.is_pdf(head, path)  # also behind other bytes, or by another name
    kind, reason = ("pdf", "") if is_pdf else kind_of(path.name.lower(), head, encoding)
    if kind in ("skip", "error"):
        yield kind, reason
        return
    if kind == "pdf":
        yield from _read_pdf(path, passwords, first_page, ocr.find_engine(ocr_setting))
    else:
        yield from _read_other(kind, path, first_page, encoding)
    yield ("done",)


def _read_other(kind: str, path: Path, first_page: int, encoding: str | None) -> Iterator[tuple[object, ...]]:
    before = _state(path)
    pages = pages_of(kind, path, path.suffix.lower(), encoding)
    _refuse_too_many(pages)
    yield "open", _opened(_digest(path), pages)
    yield from _other_pages(pages, first_page)
    if _state(path) != before:
        raise ValueError("it changed while it was being read; ingest it again")


def _opened(sha256: str, pages: Pages) -> Opened:
    return Opened(sha256, pages.count, pages.paged, pages.encoding, pages.warnings, pages.labels, pages.noun)


def _other_pages(pages: Pages, first_page: int = 1) -> Iterator[tuple[object, ...]]:
    for number in range(first_page, pages.count + 1):
        try:
            text = pages.text(number - 1)
        except Unreadable as error:
            yield "lost", number, str(error)
        else:
            yield "page", number, text


def _read_pdf(path: Path, passwords: Sequence[str], first_page: int, engine: ocr.Engine | None) -> Iterator[tuple[object, ...]]:
    """The file is opened more than once: its pages are of one file only where it was the same before and after."""
    before = _state(path)
    pages = pdf.PdfPages(path, passwords, engine)
    _refuse_too_many(pages)
    yield "open", Opened(_digest(path), pages.count, True, None, pages.notes, pages.labels())
    yield from _pages(pages, first_page)
    yield from _attached(pages, passwords, engine)
    if _state(path) != before:
        raise ValueError("it changed while it was being read; ingest it again")


def _pages(pages: pdf.PdfPages, first_page: int = 1) -> Iterator[tuple[object, ...]]:
    for number in range(first_page, pages.count + 1):
        try:
            page = pages.text(number - 1)
            if pages.wants_ocr(page):
                yield "ocr", number
                page = pages.picture_text(number - 1, page)
        except MemoryError:
            raise
        except Exception as error:  # both parsers gave up on this page
            yield "lost", number, _in_short(error)
        else:
            yield "page", number, plain.clean(page.text), page.notes


def _attached(pages: pdf.PdfPages, passwords: Sequence[str], engine: ocr.Engine | None) -> Iterator[tuple[object, ...]]:
    """Files within a PDF: PDFs and text are read, others named."""
    try:
        for attachment in pages.attachments():
            if attachment.data is None:
                yield "note", f"attachment {attachment.name} {attachment.problem}"
            else:
                yield from _one_attached(attachment.name, attachment.data, passwords, engine)
    except MemoryError:
        raise
    except Exception as error:  # pypdf raises many kinds on a broken file; its pages have been read
        yield "note", f"attachments cannot be read ({_in_short(error)})"


def _one_attached(name: str, data: bytes, passwords: Sequence[str], engine: ocr.Engine | None) -> Iterator[tuple[object, ...]]:
    if name.lower().endswith(".pdf") or data[:HEAD_BYTES].lstrip()[:5] == b"%PDF-":
        try:
            inner = pdf.PdfPages(data, passwords, engine)
            _refuse_too_many(inner)
            num_inner = sum(1 for _ in inner.attachments())
        except MemoryError:
            raise
        except Exception as error:  # whatever is wrong with it, the files beside it are read
            yield "note", f"attachment {name} not read: {_in_short(error)}"
            return
        notes = (f"{num_inner} attachments of this attachment not read",) if num_inner else ()
        sha256 = hashlib.sha256(data).hexdigest()
        yield "attached", name, Opened(sha256, inner.count, True, None, (*inner.notes, *notes), inner.labels())
        yield from _pages(inner)
        return
    kind, reason = kind_of(name.lower(), data[:HEAD_BYTES], None) if data.strip() else ("skip", "it is empty")
    if kind in ("skip", "error"):
        yield "note", f"attachment {name} not read: {reason}"
        return
    try:
        pages = pages_of(kind, data, Path(name).suffix.lower())
        _refuse_too_many(pages)
    except MemoryError:
        raise
    except Exception as error:  # whatever is wrong with it, the files beside it are read
        yield "note", f"attachment {name} not read: {_in_short(error)}"
        return
    yield "attached", name, _opened(hashlib.sha256(data).hexdigest(), pages)
    yield from _other_pages(pages)


def _refuse_too_many(pages: pdf.PdfPages | Pages) -> None:
    if pages.count > MOST_PAGES:
        raise ValueError(f"it claims to have {pages.count:,} pages; at most {MOST_PAGES:,} are read")


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
