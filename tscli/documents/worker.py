"""The process that reads files, so that a page which hangs or explodes takes nothing else with it.

Started as `python -m tscli.documents.worker FD MEMORY_BYTES PAGE_SECONDS`. Says ("ready",), then takes requests (path,
passwords, first page, OCR's setting) on the pipe. For each it answers ("open", Opened), per page ("page", number, text, notes)
or ("lost", number, reason), before a page that takes OCR's time ("ocr", number), and last ("done",); or ("skip",) for a binary
file, ("memory",) where memory ran out, ("error", reason). Files within a PDF come behind its pages: ("attached", name, Opened)
and their pages, or ("note", text) about one that is not read.
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

from tscli.documents import markup, ocr, pdf, pdf_refusal, plain
from tscli.documents.document import Opened
from tscli.documents.process import OCR_SECONDS

HTML_SUFFIXES = (".html", ".htm", ".xhtml")
# Documents that people expect to be read: they are reported, while other binary files are passed over as ripgrep does.
UNREADABLE = (".doc", ".docx", ".odt", ".epub", ".pptx", ".ppt", ".xlsx", ".xls", ".ods", ".djvu", ".mobi", ".pages")
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
            path, passwords, first_page, ocr_setting = pipe.recv()
        except EOFError:
            return
        rewind()
        try:
            for message in read(Path(path), passwords, first_page, ocr_setting):
                pipe.send(message)
                rewind(page_seconds + (OCR_SECONDS if message[0] == "ocr" else 0.0))
        except MemoryError:
            pipe.send(("memory",))
        except (pdf.Encrypted, pdf.Refused) as error:
            pipe.send(("error", str(error)))
        except OSError as error:
            pipe.send(("error", f"cannot be read ({error.strerror or error})"))
        except Exception as error:  # whatever a parser raises on a hostile file loses that file only
            pipe.send(("error", f"cannot be read ({_in_short(error)})"))


def read(path: Path, passwords: Sequence[str], first_page: int, ocr_setting: str = "off") -> Iterator[tuple[object, ...]]:
    """The messages for one file, with its pages from `first_page` on. ocr_setting: as `ocr.find_engine` takes it."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if path.suffix.lower() == ".pdf" or pdf_refusal.is_pdf(head, path):
        yield from _read_pdf(path, passwords, first_page, ocr.find_engine(ocr_setting))
    elif plain.is_binary(head) and path.suffix.lower() in UNREADABLE:
        yield "error", f"{path.suffix} files are not read; convert it to PDF or text"
        return
    elif plain.is_binary(head):
        yield ("skip",)
        return
    else:
        opened, text = _text_of(path.name, path.read_bytes())
        yield "open", opened
        yield "page", 1, text
    yield ("done",)


def _text_of(name: str, data: bytes) -> tuple[Opened, str]:
    """A text or HTML file's text, by its name and bytes."""
    sha256 = hashlib.sha256(data).hexdigest()
    is_html = Path(name).suffix.lower() in HTML_SUFFIXES
    decoded = plain.Decoded(*markup.html_text(data)) if is_html else plain.decode(data)
    opened = Opened(sha256, 1, False, decoded.encoding, (decoded.warning,) if decoded.warning else ())
    return opened, plain.clean(decoded.text)


def _read_pdf(path: Path, passwords: Sequence[str], first_page: int, engine: ocr.Engine | None) -> Iterator[tuple[object, ...]]:
    """The file is opened more than once: its pages are of one file only where it was the same before and after."""
    before = _state(path)
    pages = pdf.PdfPages(path, passwords, engine)
    _refuse_too_many(pages)
    yield "open", Opened(_digest(path), pages.count, True, None, pages.notes, pages.labels())
    yield from _pages(pages, first_page)
    yield from _attached(pages, passwords, engine)
    if _state(path) != before:
        raise ValueError("it changed meanwhile; ingest it again")


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
    elif plain.is_binary(data[:HEAD_BYTES]) or not data.strip():
        yield "note", f"attachment {name} not read: {'a binary file' if data.strip() else 'it is empty'}"
    else:
        opened, text = _text_of(name, data)
        yield "attached", name, opened
        yield "page", 1, text


def _refuse_too_many(pages: pdf.PdfPages) -> None:
    if pages.count > MOST_PAGES:
        raise ValueError(f"it says that it has {pages.count:,} pages, of at most {MOST_PAGES:,}")


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
