"""Files of all kinds but PDF to pages of text: which reader, and what it says in common. Runs in the worker process.

A reader that is large is imported when a file needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tscli.documents import plain
from tscli.documents.invisible import hidden
from tscli.documents.package import FlatPackage, Package, Unexpected, Unreadable

__all__ = ["Pages", "Unexpected", "Unreadable", "pages_of"]


@dataclass(frozen=True)
class Pages:
    """A file's pages: how many, the text of each (0-based), and what Document says of the rest."""

    count: int
    text: Callable[[int], str]
    paged: bool = False
    labels: tuple[str, ...] = ()
    encoding: str | None = None
    warnings: tuple[str, ...] = ()
    noun: str = "page"


def pages_of(kind: str, source: Path | bytes, suffix: str, encoding: str | None = None) -> Pages:
    """Open a file of this kind, or its bytes; suffix: of its name, in lower case.

    Raises Unreadable, with a reason for the user, or what a parser raises on a broken file.
    """
    if kind in _WHOLE:
        return _WHOLE[kind](source if isinstance(source, bytes) else source.read_bytes(), suffix, encoding)
    package = Package(source)
    return _ZIPPED[_inner_kind(kind, package)](package)


def _inner_kind(kind: str, package: Package) -> str:
    """The kind by the part that each has, whatever the file is called. Raises Unreadable for an archive of other files."""
    if kind in _MAIN_PARTS and _MAIN_PARTS[kind] in package:
        return kind
    found = next((other for other, part in _MAIN_PARTS.items() if part in package), kind)
    if found == "zip":
        raise Unreadable("is a zip archive, and archives are not read; unpack it")
    return found


def _word(package: Package) -> Pages:
    from tscli.documents.word import word_text

    return _single(word_text(package))


def _slides(package: Package) -> Pages:
    from tscli.documents.slides import Slides

    slides = Slides(package)
    return Pages(slides.count, _clean(slides.text), True, slides.labels, warnings=slides.warnings, noun="slide")


def _sheets(package: Package) -> Pages:
    from tscli.documents.sheets import Sheets

    sheets = Sheets(package)
    return Pages(sheets.count, _clean(sheets.text), True, sheets.labels, warnings=sheets.warnings, noun="sheet")


def _epub(package: Package) -> Pages:
    from tscli.documents.epub import Book

    book = Book(package)
    return Pages(book.count, _clean(book.text), True, book.labels, noun="chapter")


def _opendocument(package: Package | FlatPackage) -> Pages:
    from tscli.documents.opendocument import OpenDocument

    document = OpenDocument(package)
    if not document.paged:
        return _single(document.text(0))
    return Pages(document.count, _clean(document.text), True, document.labels, warnings=document.warnings, noun=document.noun)


def _flat(data: bytes, *_: object) -> Pages:
    return _opendocument(FlatPackage(data))


def _text(data: bytes, suffix: str, encoding: str | None) -> Pages:
    text, name, warnings = plain.text_of(data, suffix, encoding)
    return Pages(1, lambda _: text, encoding=name, warnings=warnings)


def _html(data: bytes, _: str, encoding: str | None) -> Pages:
    from tscli.documents.markup import html_text

    page = html_text(data, given=encoding)
    return _single(page.text, page.warnings, page.encoding, scripted=b"<script" in data.lower())


def _drawing(data: bytes, _: str, encoding: str | None) -> Pages:
    from tscli.documents.markup import html_text

    page = html_text(data, given=encoding)
    if not page.text.strip():
        raise Unexpected("is a picture")
    return _single(page.text, page.warnings, page.encoding)


def _rtf(data: bytes, *_: object) -> Pages:
    from tscli.documents.rtf import rtf_text

    return _single(rtf_text(data))


def _notebook(data: bytes, *_: object) -> Pages:
    from tscli.documents.notebook import notebook_text

    return _single(notebook_text(data))


def _mail(data: bytes, *_: object) -> Pages:
    from tscli.documents.mail import mail_text

    return _single(*mail_text(data))


_WHOLE: dict[str, Callable[[bytes, str, str | None], Pages]] = {
    "text": _text,
    "flat": _flat,
    "html": _html,
    "drawing": _drawing,
    "rtf": _rtf,
    "notebook": _notebook,
    "mail": _mail,
}


_ZIPPED: dict[str, Callable[[Package], Pages]] = {
    "word": _word,
    "slides": _slides,
    "sheets": _sheets,
    "epub": _epub,
    "opendocument": _opendocument,
}


_MAIN_PARTS = {
    "word": "word/document.xml",
    "slides": "ppt/presentation.xml",
    "sheets": "xl/workbook.xml",
    "epub": "META-INF/container.xml",
    "opendocument": "content.xml",
}


def _single(text: str, warnings: tuple[str, ...] = (), encoding: str | None = None, *, scripted: bool = False) -> Pages:
    cleaned = plain.clean(plain.without_data(text)[0])
    if not cleaned.strip():
        raise Unreadable("shows no text without its scripts; save the page from a browser" if scripted else "holds no text")
    found = hidden(text)
    return Pages(1, lambda _: cleaned, encoding=encoding, warnings=(*warnings, found) if found else warnings)


def _clean(text: Callable[[int], str]) -> Callable[[int], str]:
    return lambda index: plain.clean(text(index))
