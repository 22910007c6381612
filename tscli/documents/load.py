"""Read all files through worker processes, with limits per page; every file ends as a document, a failure, or passed over."""

from __future__ import annotations

import codecs
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tscli.documents.document import Document, Failure, Loaded, Opened, PageNote, PassedOver
from tscli.documents.hyphens import Joined, join_broken_words
from tscli.documents.process import OCR_SECONDS, Ended, Limits, Message, WorkerProcess
from tscli.documents.walk import FoundFile, WalkOptions, walk
from tscli.errors import UsageError

OnFile = Callable[[str, int, int], None]  # path, done, total
Result = Document | Failure | PassedOver
# A file that loses this many pages to the limits is given up: each costs the whole time limit.
MOST_LOST_PAGES = 20
MOST_CHARACTERS = 1 << 26  # of all files together: some sixteen million tokens, and all that memory is to hold
SHOWN_PAGES, SHOWN_REASONS, SHOWN_LINKS = 10, 10, 5
MOST_TOLD = 20  # notes on files within a file


@dataclass
class _Reading:
    """What is known of a file so far; until: when its time is up; lost: number of a page -> why; notes: on a page's number.

    attached: files within it, by their names, each as far as it was read; told: what is to be said of others.
    """

    until: float
    opened: Opened | None = None
    pages: dict[int, str] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    characters: int = 0
    notes: dict[int, tuple[PageNote, ...]] = field(default_factory=dict)
    attached: list[tuple[str, _Reading]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def next_page(self) -> int:
        return max((*self.pages, *self.lost), default=0) + 1

    def lose_the_rest(self, why: str) -> None:
        """All pages from the next one on."""
        if self.opened is not None:
            self.lost.update(dict.fromkeys(range(self.next_page, self.opened.num_pages + 1), why))


class Stop:
    """Ends a reading from another thread: a page that hangs is not waited for."""

    def __init__(self) -> None:
        self._processes: list[WorkerProcess] = []
        self._is_over = False

    def __call__(self) -> None:
        self._is_over = True
        for process in self._processes:
            process.cancel()

    def watch(self, processes: Sequence[WorkerProcess]) -> None:
        """These are what reads."""
        self._processes += processes
        if self._is_over:
            self()


def load(
    paths: Sequence[Path],
    *,
    options: WalkOptions = WalkOptions(),  # noqa: B008 - frozen
    passwords: Sequence[str] = (),
    page_seconds: float = 20.0,
    file_seconds: float = 1800.0,
    memory_bytes: int = 2 << 30,
    workers: int = 2,
    ocr: str = "auto",
    encoding: str | None = None,
    on_file: OnFile | None = None,
    stop: Stop | None = None,
) -> Loaded:
    """Read the files of these paths, in the order of their paths.

    A page that takes longer than page_seconds or more memory than memory_bytes is lost, not its file; so are the pages that
    are left of a file after file_seconds. ocr: "auto" reads pages of PDFs that have no text by tesseract or OCRmyPDF where one
    is installed, "deu+eng" likewise in these languages, "off" never; such a page may take OCR_SECONDS more. encoding: of text
    files that do not say their own and are not UTF-8. on_file is called after each file, by one thread at a time. stop: called,
    it ends this with an error. Raises UsageError for a path that does not exist, an encoding that is not known, and for more
    text than any context holds.
    """
    check_encoding(encoding)
    files = walk(paths, options)
    limits = Limits(page_seconds, memory_bytes, ocr, encoding)
    processes = [WorkerProcess(limits) for _ in range(max(1, min(workers, len(files))))]
    if stop is not None:
        stop.watch(processes)
    idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
    for process in processes:
        idle.put(process)
    lock = threading.Lock()
    num_done = num_characters = 0

    def one(file: FoundFile) -> list[Result]:
        nonlocal num_done, num_characters
        process, reading = idle.get(), _Reading(time.monotonic() + file_seconds)
        try:
            results = [_read(process, file, passwords, reading)]
        finally:
            idle.put(process)
        results += _attached(file, reading) if not isinstance(results[0], PassedOver) else []
        with lock:
            num_done += 1
            num_characters += sum(len(page) for result in results if isinstance(result, Document) for page in result.pages)
            if num_characters > MOST_CHARACTERS:
                raise UsageError(f"the documents hold more than {MOST_CHARACTERS:,} characters of text; choose fewer")
            if on_file is not None:
                on_file(file.path, num_done, len(files))
        return results

    try:
        with ThreadPoolExecutor(len(processes)) as threads:
            try:
                by_file = list(threads.map(one, files))
            except BaseException:  # above all Ctrl-C, which must not wait for a page that hangs
                for process in processes:
                    process.cancel()
                raise
    finally:
        for process in processes:
            process.stop()
    results = [result for some in by_file for result in some]
    documents = sorted((result for result in results if isinstance(result, Document)), key=lambda document: document.path)
    return Loaded(
        tuple(documents),
        tuple(result for result in results if isinstance(result, Failure)),
        tuple(result for result in results if isinstance(result, PassedOver)),
        tuple(_outside(files)),
    )


def check_encoding(name: str | None) -> None:
    """Raises UsageError for a name that is not that of an encoding of text."""
    if name is None:
        return
    try:
        codecs.lookup(name)
        b"ab".decode(name)
        known = True
    except UnicodeError:  # two letters are none in it
        known = True
    except (LookupError, ValueError):
        known = False
    if not known:
        raise UsageError(f"--encoding {name}: no such encoding; cp1251, shift_jis, gb18030, koi8-r and utf-16-le are some")


def _outside(files: Sequence[FoundFile]) -> list[str]:
    """A line about links that lead out of the named folders, with the first of them."""
    links = list({file.outside: file for file in files if file.outside}.items())
    if not links:
        return []
    shown = ", ".join(f"{link} -> {file.leads_to}" for link, file in links[:SHOWN_LINKS])
    more = ", ..." if len(links) > SHOWN_LINKS else ""
    if len(links) == 1:
        return [f"1 link leads out of the named folders and was followed: {shown}"]
    return [f"{len(links):,} links lead out of the named folders and were followed: {shown}{more}"]


def _read(process: WorkerProcess, file: FoundFile, passwords: Sequence[str], reading: _Reading) -> Result:
    """One file through the worker, which is started anew behind each page that was lost."""
    if file.problem is not None:
        return Failure(file.path, file.problem)
    num_ended = 0
    while True:
        process.request(file.source, passwords, reading.next_page)
        was_fresh = process.num_requests == 1
        end = _follow(process, reading)
        if not isinstance(end, Ended):
            return _finish(file, reading, end)
        if end.crashed and not was_fresh:
            continue  # what earlier files left in the process's memory may be to blame: once more in a new one
        opened = reading.opened
        if opened is not None and opened.paged and reading.next_page > opened.num_pages:  # it ended within an attachment
            reading.told.append(f"attachments lost: {end.reason}")
            return _finish(file, reading, ("done",))
        if opened is None or not opened.paged:
            return Failure(file.path, f"{end.reason}; split it, or save it anew")
        reading.lost[reading.next_page] = end.reason
        num_ended += 1
        if num_ended >= MOST_LOST_PAGES:
            reading.lose_the_rest(f"given up after {MOST_LOST_PAGES} lost pages")
        if reading.next_page > opened.num_pages:
            return _finish(file, reading, ("done",))


def _follow(process: WorkerProcess, reading: _Reading) -> Message | Ended:
    """Take in the worker's messages up to the one that ends the file; where it must be ended, the worker ends with it."""
    part = reading  # the file, or the one within it that is read
    more: tuple[float, ...] = ()
    while True:
        message = process.answer(*more)
        if isinstance(message, Ended):
            return message
        more = (OCR_SECONDS,) if message[0] == "ocr" else ()
        kind, *rest = message
        if kind == "open":
            if reading.opened not in (None, rest[0]):
                return _stopped(process, "changed while it was read; ingest it again")
            reading.opened = rest[0]
        elif kind == "attached":
            part = _Reading(reading.until, rest[1])
            reading.attached.append((rest[0], part))
        elif kind in ("page", "lost"):
            _take_page(part, kind, *rest)
            reading.characters += len(rest[1])
        elif kind == "note":
            reading.told.append(rest[0])
        elif kind != "ocr":
            return message
        if reading.characters > MOST_CHARACTERS:
            return _stopped(process, f"holds more than {MOST_CHARACTERS:,} characters of text; split it")
        if time.monotonic() > reading.until and (reading.pages or reading.lost):
            for each in {id(each): each for each in (reading, part)}.values():
                each.lose_the_rest("given up, for the file took too long")
            process.stop()
            return ("done",)


def _take_page(part: _Reading, kind: str, number: int, text: str, notes: tuple[PageNote, ...] = ()) -> None:
    """A page's text, or the reason why there is none."""
    (part.pages if kind == "page" else part.lost)[number] = text
    if notes:
        part.notes[number] = notes


def _attached(file: FoundFile, reading: _Reading) -> list[Result]:
    """The files within a file, each as a document of its own."""
    found: list[Result] = []
    for name, part in reading.attached:
        part.lose_the_rest("the reading ended before it")
        within = FoundFile(f"{file.path}/{name}", file.source / name, False)
        found.append(_finish(within, part, ("done",)))
    return [result for result in found if result is not None]


def _stopped(process: WorkerProcess, reason: str) -> Message:
    process.stop()
    return ("error", reason)


def _finish(file: FoundFile, reading: _Reading, end: Message) -> Result:
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
        return Failure(file.path, f"gave no {opened.noun} with text: {next(iter(reading.lost.values()))}")
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


def _warnings(reading: _Reading, without: Sequence[int]) -> list[str]:
    warnings = _by_reason(reading.lost.items(), "lost")
    noted = [(number, note) for number, notes in sorted(reading.notes.items()) for note in notes]
    for kind, verb in (("unreadable", "not read"), ("mended", "with faults"), ("ocr", "read by OCR")):
        warnings += _by_reason([(number, note.reason) for number, note in noted if note.kind == kind], verb)
    unreadable = {number for number, note in noted if note.kind == "unreadable"}
    num_blank = len([number for number in without if number not in reading.lost and number not in unreadable])
    if num_blank:
        of = len(reading.pages) + len(reading.lost)
        warnings.append(f"{num_blank} of {of} pages without text; if they are scans, OCRmyPDF adds it")
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
