"""PDF pages to text: pypdf, and where it fails or finds nothing, pypdfium2. Runs in the worker process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pypdfium2
from pypdf import PdfReader


class Encrypted(Exception):
    """None of the passwords opens the file."""


class PdfPages:
    """An open PDF whose pages are read one at a time."""

    def __init__(self, path: Path, passwords: Sequence[str]) -> None:
        self._path = path
        self._password = ""
        self._second: pypdfium2.PdfDocument | None = None
        self._reader = self._open(passwords)
        self.count = self._count()
        if self.count == 0:
            self._reader = None
            self._password = self._password or (passwords[0] if passwords else "")
            self.count = len(self._fallback())

    def text(self, index: int) -> str:
        """The text of a page (0-based), empty where neither parser finds any."""
        found = ""
        if self._reader is not None:
            try:
                found = self._reader.pages[index].extract_text()
            except Exception:  # pypdf raises many kinds on broken pages; the second parser gets its turn
                found = ""
        if found.strip():
            return found
        page = self._fallback()[index]
        try:
            return str(page.get_textpage().get_text_bounded())
        finally:
            page.close()

    def _open(self, passwords: Sequence[str]) -> PdfReader | None:
        try:
            reader = PdfReader(self._path)
            if not reader.is_encrypted:
                return reader
            for password in ("", *passwords):
                if reader.decrypt(password):
                    self._password = password
                    return reader
        except Exception:  # a broken file: the second parser decides
            return None
        raise Encrypted

    def _count(self) -> int:
        try:
            return len(self._reader.pages) if self._reader is not None else 0
        except Exception:  # a broken page tree: the second parser decides
            return 0

    def _fallback(self) -> pypdfium2.PdfDocument:
        if self._second is None:
            self._second = pypdfium2.PdfDocument(self._path, password=self._password or None)
        return self._second
