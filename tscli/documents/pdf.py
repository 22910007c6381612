"""PDF pages to text: what a reader sees on them. Two parsers, fields, comments, attachments, labels, OCR; in the worker.

pypdf opens the file, counts its pages and gives everything but their painted text; that is PDFium's, or pypdf's by the rules of
`pdf_choice`. PDFium is not thread-safe: only the worker's one thread calls it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdfium2
from pypdf import PageObject, PdfReader
from pypdf.errors import LimitReachedError

from tscli.documents import ocr, pdf_choice, pdf_refusal
from tscli.documents.document import PageNote
from tscli.documents.pdf_annotations import Shown, shown_annotations
from tscli.documents.pdf_attachments import Attachment, attachments
from tscli.documents.pdf_choice import Candidate
from tscli.documents.pdf_labels import page_labels
from tscli.documents.pdf_layers import hidden_layers, without_layers
from tscli.documents.pdf_layout import read_painted
from tscli.documents.pdf_xfa import form_data

GLYPH_NUMBERS = "the font gives glyph numbers, not letters; OCR (OCRmyPDF --force-ocr) reads such pages"
XFA = "only Adobe's reader shows this form (XFA), and the page itself just says to wait; print it to a plain PDF there"
FORM_DATA = "form data.txt"  # what was filled into such a form, as a document beside it
# What the page of such a form says in place of the form, in the languages that its makers write.
PLEASE_WAIT = re.compile(r"please wait|bitte warten|veuillez patienter|espere|attendere|adobe reader|acrobat", re.IGNORECASE)
INNER_HYPHEN = re.compile(r"[^\W\d_]-[^\W\d_]")
SOFTENED = re.compile(r"[^\W_]+(?:\xad[^\W_]+)+")
SOFT_HYPHEN_CODES = re.compile(rb"\xad|\\255|<[0-9A-Fa-f\s]*[Aa][Dd]")


class Encrypted(Exception):
    """None of the passwords opens the file; the message says it for the user."""


class Refused(Exception):
    """The file is no PDF that can be read; the message says why."""


@dataclass(frozen=True)
class PageText:
    """A page's text, and what is to be told of it."""

    text: str
    notes: tuple[PageNote, ...] = ()


class PdfPages:
    """An open PDF whose pages are read one at a time."""

    def __init__(self, source: Path | bytes, passwords: Sequence[str], engine: ocr.Engine | None = None) -> None:
        """Open a file, or its bytes, with no password, then each of these. engine: reads the pages without text.

        Raises Encrypted, or Refused with a reason.
        """
        self._source = source
        self._passwords = ("", *passwords)
        self._engine = engine
        self._waits = False  # whether a page says no more than to wait
        self._reader = self._open_pypdf()
        self._hidden = self._hidden_layers()
        self._pdfium: pypdfium2.PdfDocument | None = None
        error: Exception | None = None
        try:
            self._pdfium = self._open_pdfium()
        except pypdfium2.PdfiumError as raised:
            error = raised
        counts = (self._count_pypdf(), len(self._pdfium) if self._pdfium is not None else 0)
        self.count = counts[0] or counts[1]
        if self.count < 1:
            if error is None or self._is_empty():
                raise Refused("cannot be read: it has no pages")
            raise Refused(pdf_refusal.refusal(source, error) if isinstance(source, Path) else str(error))
        if not counts[0]:
            self._reader = None
        # Where the two count differently, their pages may be others: PDFium's are taken only if pypdf has none.
        self._same_pages = counts[0] in (0, counts[1])
        self.notes = self._told(counts)

    def labels(self) -> tuple[str, ...]:
        """What viewers call the pages; empty where that is their numbers, or cannot be read."""
        try:
            return page_labels(self._reader, self.count) if self._reader is not None else ()
        except Exception:  # pypdf raises many kinds on a broken tree; the pages have their numbers
            return ()

    def text(self, index: int) -> PageText:
        """The text of a page (0-based), empty where there is none; raises where no parser could read the page."""
        shown, notes = self._annotations(index)
        found = self._painted(index, [each for each in shown if each.kind != "comment"], notes)
        placed = found.has_values and pdf_choice.is_readable(found)
        if not pdf_choice.is_readable(found):
            text = ""
            notes.append(PageNote("unreadable", GLYPH_NUMBERS))
        else:
            text, num_lost = pdf_choice.tidy(found)
            text = self._soft_hyphens_gone(index, text)
            if num_lost:
                notes.append(PageNote("mended", f"some letters have no name in their font, shown as {pdf_choice.REPLACEMENT}"))
        if text.strip() and self._waits_for_adobe(text):
            self._waits = True
            return PageText("", (PageNote("unreadable", XFA),))
        rest = "\n".join(dict.fromkeys(each.line for each in shown if each.kind == "comment" or not placed))
        text = "\n\n".join(part for part in (text.rstrip(), rest) if part.strip())
        return PageText(text, tuple(notes))

    def wants_ocr(self, page: PageText) -> bool:
        """Whether the page is to be looked at as a picture: an engine is there, and the page gave no text."""
        is_form = any(note.reason == XFA for note in page.notes)
        return (
            self._engine is not None and not page.text.strip() and self._pdfium is not None and self._same_pages and not is_form
        )

    def picture_text(self, index: int, page: PageText) -> PageText:
        """The page as OCR reads it; as it was where OCR fails (with a note), and where fonts of glyph numbers are missing."""
        assert self._engine is not None
        assert self._pdfium is not None
        try:
            with contextlib.closing(self._pdfium[index]) as rendered:
                if page.notes and not ocr.looks_right(rendered):
                    return page
                text = ocr.read_picture(rendered, self._engine)
        except (ocr.OcrFailed, pypdfium2.PdfiumError) as error:
            return PageText("", (*page.notes, PageNote("unreadable", str(error))))
        return PageText(text, (PageNote("ocr", str(self._engine)),)) if text.strip() else page

    def attachments(self) -> Iterator[Attachment]:
        """The files within this one, and what was filled into a form whose pages ask to wait. Raises what pypdf raises."""
        if self._reader is None:
            return
        if self._waits and (data := form_data(self._reader)):
            yield Attachment(FORM_DATA, data.encode())
        yield from attachments(self._reader)

    def _painted(self, index: int, values: Sequence[Shown], notes: list[PageNote]) -> Candidate:
        """The text that is painted on a page, of the parser that reads it better. values: of its form, to be put in places."""
        if self._hidden and (only_shown := self._without_layers(index, notes)) is not None:
            with contextlib.closing(pypdfium2.PdfDocument(only_shown)) as document, contextlib.closing(document[0]) as page:
                return read_painted(page, values)
        error: Exception | None = None
        found = Candidate("")
        if self._pdfium is not None and self._same_pages:
            try:
                with contextlib.closing(self._pdfium[index]) as page:
                    found = read_painted(page, values)
            except Exception as raised:  # whatever it is on a broken page, the other parser gets its turn
                error = raised
        if found.text.strip() and not pdf_choice.num_faults(found):
            return found
        try:
            other = pdf_choice.candidate(self._extract(index), found)
        except Exception as raised:
            is_blank = not found.text.strip()
            if is_blank and isinstance(raised, LimitReachedError):  # PDFium has such limits, too, and is silent about them
                raise Refused(f"holds more than is read, because it would take too much memory ({raised})") from raised
            if self._pdfium is None or not self._same_pages or error or (is_blank and isinstance(raised, MemoryError)):
                raise
            return found  # PDFium read the page as it is
        if not found.text.strip():
            if not other.text.strip() and isinstance(error, MemoryError):
                raise error
            return other
        return pdf_choice.choose(pdf_choice.filled(found, other.text), other)

    def _hidden_layers(self) -> frozenset[int]:
        try:
            return hidden_layers(self._reader) if self._reader is not None else frozenset()
        except Exception:  # pypdf raises many kinds on a broken file; nothing is hidden then
            return frozenset()

    def _without_layers(self, index: int, notes: list[PageNote]) -> bytes | None:
        """A PDF of the page without its hidden layers; None where it has none, or where they cannot be taken out (told)."""
        assert self._reader is not None
        try:
            return without_layers(self._reader.pages[index], self._hidden)
        except MemoryError:
            raise
        except Exception:  # pypdf raises many kinds on a broken page
            notes.append(PageNote("mended", "it may have hidden layers, which are read as well"))
            return None

    def _extract(self, index: int) -> str:
        if self._reader is None:
            raise Refused("the page cannot be loaded")
        return self._reader.pages[index].extract_text()

    def _soft_hyphens_gone(self, index: int, text: str) -> str:
        """Without soft hyphens within lines: PDFium shows those of the usual encodings as hyphens, pypdf as what they are."""
        if self._reader is None or not INNER_HYPHEN.search(text):
            return text
        try:
            page = self._reader.pages[index]
            contents = page.get_contents()
            if contents is None or not SOFT_HYPHEN_CODES.search(contents.get_data()):
                return text
            words = set(SOFTENED.findall(page.extract_text()))
        except MemoryError:
            raise
        except Exception:  # pypdf cannot read the page: the hyphens stay
            return text
        for word in words:
            text = re.sub(rf"(?<!\w){re.escape(word.replace(chr(0xAD), '-'))}(?!\w)", word.replace("\xad", ""), text)
        return text

    def _annotations(self, index: int) -> tuple[list[Shown], list[PageNote]]:
        if self._reader is None:
            return [], []
        try:
            page: PageObject = self._reader.pages[index]
            return shown_annotations(page), []
        except MemoryError:
            raise
        except Exception as error:  # pypdf raises many kinds on broken fields; the page's own text is there all the same
            return [], [PageNote("mended", f"form fields and comments cannot be read ({' '.join(str(error).split())[:100]})")]

    def _waits_for_adobe(self, text: str) -> bool:
        """Whether the page is what forms of XFA show to all other readers."""
        root = self._root()
        try:
            form = root.get("/AcroForm")
            has_xfa = form is not None and form.get_object().get("/XFA") is not None
            return has_xfa and (bool(root.get("/NeedsRendering")) or PLEASE_WAIT.search(text) is not None)
        except Exception:  # a broken form is none
            return False

    def _root(self) -> Any:
        return self._reader.root_object if self._reader is not None else {}

    def _told(self, counts: tuple[int, int]) -> tuple[str, ...]:
        """What is to be said of the whole file."""
        notes = []
        if isinstance(self._source, Path) and pdf_refusal.is_mended(self._source):
            notes.append("its cross-reference table is damaged; read by what its objects say")
        elif not self._same_pages and self._pdfium is not None:
            notes.append(f"it claims to have {counts[1]:,} pages; it has {counts[0]:,}")
        return tuple(notes)

    def _open_pypdf(self) -> PdfReader | None:
        try:
            reader = PdfReader(BytesIO(self._source) if isinstance(self._source, bytes) else self._source)
            if not reader.is_encrypted:
                return reader
            for password in self._passwords:
                if reader.decrypt(password):
                    self._passwords = (password,)
                    return reader
        except Exception:  # a broken file or an unknown cipher: the other parser decides
            return None
        raise self._encrypted()

    def _count_pypdf(self) -> int:
        try:
            count = len(self._reader.pages) if self._reader is not None else 0
        except Exception:  # a broken page tree: the other parser decides
            count = 0
        return count

    def _is_empty(self) -> bool:
        """Whether the file is a sound PDF without pages."""
        try:
            return self._reader is not None and "/Pages" in self._root() and len(self._reader.pages) == 0
        except Exception:  # it is not sound
            return False

    def _open_pdfium(self) -> pypdfium2.PdfDocument:
        for password in self._passwords:
            try:
                return pypdfium2.PdfDocument(self._source, password=password or None)
            except pypdfium2.PdfiumError as error:
                if "password" not in str(error).lower():
                    raise
        raise self._encrypted()

    def _encrypted(self) -> Encrypted:
        if len(self._passwords) > 1:
            return Encrypted("is encrypted and none of the given passwords opens it; give its own with --password")
        return Encrypted("is encrypted; give its password with --password")
