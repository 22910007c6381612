"""What reading a file gives: text by pages, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Document:
    """One file's text.

    path: as shown to the user; source: absolute. sha256: of the file's bytes. pages_without_text: 1-based numbers.
    paged: pages are those of the file (of a PDF; a workbook's sheets, slides, chapters); otherwise the whole file is page 1.
    encoding: of a text file. labels: what the pages are called ("ii", a sheet's name), one each; empty where that is their
    numbers. ocr_pages: 1-based, those read by OCR. breaks: where the file's lines break words that are one here: page
    (1-based), character of the page, and what stood there ("-\n").
    """

    path: str
    source: str
    sha256: str
    pages: tuple[str, ...]
    pages_without_text: tuple[int, ...]
    paged: bool
    encoding: str | None = None
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    ocr_pages: tuple[int, ...] = ()
    breaks: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True)
class PageNote:
    """What is to be told of a page; kind: "unreadable" (it has something, but no text), "mended" (parts of it), or "ocr"."""

    kind: Literal["unreadable", "mended", "ocr"]
    reason: str


@dataclass(frozen=True)
class Opened:
    """What the worker knows of a file before its pages; the fields are those of Document. noun: what its pages are."""

    sha256: str
    num_pages: int
    paged: bool
    encoding: str | None = None
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    noun: str = "page"


@dataclass(frozen=True)
class Failure:
    """A file that was to be read and could not be (also an archive, a form that is not read), and why, in one line."""

    path: str
    reason: str


@dataclass(frozen=True)
class PassedOver:
    """A file of a folder that nobody expects to be read (a picture, a program, an empty file), and why, in a few words."""

    path: str
    reason: str


@dataclass(frozen=True)
class Loaded:
    """All that was read, in the order of the paths, and all that was not. notes: lines on how files were found."""

    documents: tuple[Document, ...]
    failures: tuple[Failure, ...]
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()
