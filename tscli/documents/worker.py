"""The process that reads files, so that a page which hangs or explodes takes nothing else with it.

Started as `python -m tscli.documents.worker FD MEMORY_BYTES`; takes requests (path, passwords, first page) on the pipe and
answers ("open", sha256, number of pages, encoding, paged), ("page", number, text) for each, then ("done",);
or ("skip",) for a binary file, or ("error", reason).
"""

from __future__ import annotations

import hashlib
import logging
import resource
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tscli.documents import pdf, plain

HTML_SUFFIXES = (".html", ".htm", ".xhtml")
# Documents that people expect to be read: they are reported, while other binary files are passed over as ripgrep does.
UNREADABLE = (".doc", ".docx", ".odt", ".epub", ".pptx", ".ppt", ".xlsx", ".xls", ".ods", ".djvu", ".mobi", ".pages")
HEAD_BYTES = 8192


def serve(pipe: Connection) -> None:
    """Answer requests until the pipe closes."""
    while True:
        try:
            path, passwords, first_page = pipe.recv()
        except EOFError:
            return
        try:
            read(pipe, Path(path), passwords, first_page)
        except MemoryError:
            pipe.send(("error", "needs more memory than one file may take"))
        except pdf.Encrypted:
            pipe.send(("error", "is encrypted; give its password with --password"))
        except OSError as error:
            pipe.send(("error", f"cannot be read ({error.strerror or error})"))
        except Exception as error:  # whatever a parser raises on a hostile file loses that file only
            reason = " ".join(str(error).split()) or type(error).__name__
            pipe.send(("error", f"cannot be read ({reason[:200]})"))


def read(pipe: Connection, path: Path, passwords: Sequence[str], first_page: int) -> None:
    """Read one file and send its pages from `first_page` on."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _digest(path)
    if path.suffix.lower() == ".pdf" or head.lstrip()[:5] == b"%PDF-":
        pages = pdf.PdfPages(path, passwords)
        pipe.send(("open", sha256, pages.count, None, True))
        for index in range(first_page - 1, pages.count):
            pipe.send(("page", index + 1, plain.clean(pages.text(index))))
    elif plain.is_binary(head):
        pipe.send(("error", f"{path.suffix} files are not read; convert it to PDF or text") if _expected(path) else ("skip",))
        return
    else:
        data = path.read_bytes()
        text, encoding = plain.html_text(data) if path.suffix.lower() in HTML_SUFFIXES else plain.decode(data)
        pipe.send(("open", sha256, 1, encoding, False))
        pipe.send(("page", 1, plain.clean(text)))
    pipe.send(("done",))


def _expected(path: Path) -> bool:
    return path.suffix.lower() in UNREADABLE


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def main() -> None:
    """Limit memory, then serve the pipe that the parent handed over."""
    descriptor, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    logging.disable(logging.CRITICAL)
    serve(Connection(descriptor))


if __name__ == "__main__":
    main()
