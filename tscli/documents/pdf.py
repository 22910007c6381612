"""PDF pages to text: pypdf, and where it fails or finds nothing, pypdfium2. Runs in the worker process."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pypdfium2
from pypdf import PdfReader

# pdfium marks a hyphen at the end of a line by one of these.
HYPHENS = str.maketrans({"\x02": "-", "\ufffe": "-"})


class Encrypted(Exception):
    """None of the passwords opens the file; the message says it for the user."""


class PdfPages:
    """An open PDF whose pages are read one at a time."""

    def __init__(self, path: Path, passwords: Sequence[str]) -> None:
        """Open the file with no password, then each of these. Raises Encrypted, or what pypdfium2 raises on a broken file."""
        self._path = path
        self._passwords = ("", *passwords)
        self._second: pypdfium2.PdfDocument | None = None
        self._reader = self._open()
        self.count = self._count()
        if self.count == 0:
            self._reader = None
            self.count = len(self._fallback())

    def text(self, index: int) -> str:
        """The text of a page (0-based), empty where neither parser finds any; raises where no parser could read the page."""
        found, error = "", None
        if self._reader is not None:
            try:
                found = self._reader.pages[index].extract_text()
            except Exception as raised:  # pypdf raises many kinds on broken pages; the second parser gets its turn
                error = raised
        if found.strip():
            return found
        try:
            second = self._second_text(index)
        except Exception:
            if self._reader is not None and error is None:
                return found  # pypdf read the page, and there is nothing on it
            raise
        if not second.strip() and isinstance(error, MemoryError):
            raise error
        return second

    def _second_text(self, index: int) -> str:
        page = self._fallback()[index]
        with contextlib.closing(page), contextlib.closing(page.get_textpage()) as text:
            return str(text.get_text_bounded()).translate(HYPHENS)

    def _open(self) -> PdfReader | None:
        try:
            reader = PdfReader(self._path)
            if not reader.is_encrypted:
                return reader
            for password in self._passwords:
                if reader.decrypt(password):
                    self._passwords = (password,)
                    return reader
        except Exception:  # a broken file or an unknown cipher: the second parser decides
            return None
        raise self._encrypted()

    def _count(self) -> int:
        try:
            return len(self._reader.pages) if self._reader is not None else 0
        except Exception:  # a broken page tree: the second parser decides
            return 0

    def _fallback(self) -> pypdfium2.PdfDocument:
        if self._second is not None:
            return self._second
        for password in self._passwords:
            try:
                self._second = pypdfium2.PdfDocument(self._path, password=password or None)
                return self._second
            except pypdfium2.PdfiumError as error:
                if "password" not in str(error).lower():
                    raise
        raise self._encrypted()

    def _encrypted(self) -> Encrypted:
        if len(self._passwords) > 1:
            return Encrypted("is encrypted and none of the given passwords opens it; give its own with --password")
        return Encrypted("is encrypted; give its password with --password")
