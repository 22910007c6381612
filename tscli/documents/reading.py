"""What has been read of a file so far, and the document, or the reason for none, that it becomes at the end. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tscli.documents.document import Document, Failure, Opened, PageNote, PassedOver
from tscli.documents.hyphens import Joined, join_broken_words
from tscli.documents.process import Message
from tscli.documents.walk import FoundFile

Result = Document | Failure | PassedOver
SHOWN_PAGES, SHOWN_REASONS = 10, 10
MOST_TOLD = 20  # notes on files within a file


@dataclass
class Reading:
    """What is known of a file so far; until: when its time is up; lost: number of a page -> why; notes: on a page's number.

    attached: files within it, by their names, each as far as it was read; told: what is to be said of others.
    """

    until: float
    opened: Opened | None = None
    pages: dict[int, str] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    characters: int = 0
    notes: dict[int, tuple[PageNote, ...]] = field(default_factory=dict)
    attached: list[tuple[str, Reading]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def next_page(self) -> int:
        return max((*self.pages, *self.lost), default=0) + 1

    def lose_the_rest(self, why: str) -> None:
        """All pages from the next one on."""
        if self.opened is not None:
            self.lost.update(dict.fromkeys(range(self.next_page, self.opened.num_pages + 1), why))


def attached(file: FoundFile, reading: Reading) -> list[Result]:
    """The files within a file, each as a document of its own."""
    found: list[Result] = []
    for name, part in reading.attached:
        part.lose_the_rest("the reading ended before it")
        within = FoundFile(f"{file.path}/{name}", file.source / name, False)
        found.append(finish(within, part, ("done",)))
    return [result for result in found if result is not None]


def finish(file: FoundFile, reading: Reading, end: Message) -> Result:
    """What a file has become, by what was read of it and the message that ended the reading."""
    if end[0] == "skip":
        return Failure(file.path, end[1]) if file.named else PassedOver(file.path, end[1])
    if end[0] == "error" or reading.opened is None:
        return Failure(file.path, str(end[-1]))
    opened = reading.opened
    pages = tuple(reading.pages.get(number, "") for number in range(1, opened.num_pages + 1))
    joined = join_broken_words(pages) if opened.paged and opened.noun == "page" else Joined(pages)
    pages = joined.pages
    without = tuple(number for number, text in enumerate(pages, start=1) if not text.strip())
    if not opened.paged and without:  # nothing but spaces
        return Failure(file.path, "is empty") if file.named else PassedOver(file.path, "is empty")
    if reading.lost and len(without) == opened.num_pages:  # nothing was read of it, and not because there is nothing
        return Failure(file.path, f"yielded no {opened.noun} with text: {next(iter(reading.lost.values()))}")
    if opened.noun != "page":  # a slide or a sheet without text is no scan
        if len(without) == len(pages):
            return Failure(file.path, "holds no text")
        without = ()
    return Document(
        path=file.path,
        source=str(file.source),
        sha256=opened.sha256,
        pages=pages,
        pages_without_text=without,
        paged=opened.paged,
        encoding=opened.encoding,
        warnings=(*opened.warnings, *_warnings(reading, without), *reading.told[:MOST_TOLD]),
        labels=opened.labels,
        ocr_pages=tuple(sorted(number for number, notes in reading.notes.items() if any(n.kind == "ocr" for n in notes))),
        breaks=joined.breaks,
    )


def _warnings(reading: Reading, without: Sequence[int]) -> list[str]:
    warnings = _by_reason(reading.lost.items(), "lost")
    noted = [(number, note) for number, notes in sorted(reading.notes.items()) for note in notes]
    for kind, verb in (("unreadable", "not read"), ("mended", "with faults"), ("ocr", "read by OCR")):
        warnings += _by_reason([(number, note.reason) for number, note in noted if note.kind == kind], verb)
    unreadable = {number for number, note in noted if note.kind == "unreadable"}
    num_blank = len([number for number in without if number not in reading.lost and number not in unreadable])
    if num_blank:
        of = len(reading.pages) + len(reading.lost)
        warnings.append(f"{num_blank} of {of} pages without text; if they are scans, OCRmyPDF can add it")
    return warnings


def _by_reason(pages: Iterable[tuple[int, str]], verb: str) -> list[str]:
    """A line for each reason, with the first of its pages."""
    by_reason: dict[str, list[int]] = {}
    for number, why in pages:
        by_reason.setdefault(why, []).append(number)
    lines = []
    for reason, numbers in list(by_reason.items())[:SHOWN_REASONS]:
        shown = ", ".join(map(str, numbers[:SHOWN_PAGES])) + (", ..." if len(numbers) > SHOWN_PAGES else "")
        lines.append(f"{'page' if len(numbers) == 1 else f'{len(numbers)} pages'} {shown} {verb}: {reason}")
    if others := sum(map(len, list(by_reason.values())[SHOWN_REASONS:])):
        lines.append(f"{others} more pages {verb}, for other reasons")
    return lines
