"""Where every token comes from: file, page and character range, in arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


def shown(file: str, library: str) -> str:
    """A file for people, with its library in front where several are joined."""
    return f"{library}: {file}" if library else file


def page_name(page: int, label: str) -> str:
    """A page for people, with what viewers call it in front where that is not its number."""
    return f"{label} (page {page})" if label else str(page)


@dataclass(frozen=True)
class Place:
    """A token's origin; characters count within the page's text, page 0 is a header or a break between pages."""

    path: str
    page: int
    char_start: int
    char_end: int


@dataclass(frozen=True)
class DocumentTokens:
    """A document's tokens, [token_start, token_end) of the context; title is what its header line says.

    labels: what viewers call its pages ("ii"), one each; empty where that is their numbers. breaks: where the file's lines
    break words that are one here: page, character of the page, and what stood there ("-\n").
    """

    path: str
    title: str
    sha256: str
    num_pages: int
    paged: bool
    token_start: int
    token_end: int
    labels: tuple[str, ...] = ()
    breaks: tuple[tuple[int, int, str], ...] = ()

    def label(self, page: int) -> str:
        """What viewers call a page (1-based); empty where that is its number."""
        label = self.labels[page - 1] if 0 < page <= len(self.labels) else ""
        return "" if label == str(page) else label

    def page_name(self, page: int) -> str:
        """A page for people: "7", or "ii (page 2)" where viewers call it otherwise than its number."""
        return page_name(page, self.label(page))


@dataclass(frozen=True)
class Context:
    """All tokens with their origin; every array is int32 [T].

    document: index into documents, -1 for the template. page: 1-based, 0 for headers and breaks. libraries: which one each
    document is of, where several are joined; else empty.
    """

    token_ids: np.ndarray
    document: np.ndarray
    page: np.ndarray
    char_start: np.ndarray
    char_end: np.ndarray
    documents: tuple[DocumentTokens, ...]
    libraries: tuple[str, ...] = ()

    def library_of(self, document: int) -> str:
        """The library of a document by its index; empty where only one is open."""
        return self.libraries[document] if self.libraries else ""

    def locate(self, position: int) -> Place | None:
        """The origin of the token at this position; None for the template's."""
        index = int(self.document[position])
        if index < 0:
            return None
        path = self.documents[index].path
        return Place(path, int(self.page[position]), int(self.char_start[position]), int(self.char_end[position]))

    @property
    def tokens_sha256(self) -> str:
        """SHA-256 over the token ids."""
        return hashlib.sha256(np.ascontiguousarray(self.token_ids, dtype="<i4").tobytes()).hexdigest()
