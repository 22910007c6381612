"""Read all files through worker processes, with limits per page; every file ends as a document, a failure, or passed over."""

from __future__ import annotations

import codecs
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tscli.documents.document import Document, Failure, Loaded, PageNote, PassedOver
from tscli.documents.process import OCR_SECONDS, Ended, Limits, Message, WorkerProcess
from tscli.documents.reading import Reading, Result, attached, finish
from tscli.documents.walk import FoundFile, WalkOptions, walk
from tscli.errors import UsageError

OnFile = Callable[[str, int, int], None]  # path, done, total
# A file that loses this many pages to the limits is given up: each costs the whole time limit.
MOST_LOST_PAGES = 20
MOST_CHARACTERS = 1 << 26  # of all files together: some sixteen million tokens, and all that memory is to hold
SHOWN_LINKS = 5


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
        process, reading = idle.get(), Reading(time.monotonic() + file_seconds)
        try:
            results = [_read(process, file, passwords, reading)]
        finally:
            idle.put(process)
        results += attached(file, reading) if not isinstance(results[0], PassedOver) else []
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


def _read(process: WorkerProcess, file: FoundFile, passwords: Sequence[str], reading: Reading) -> Result:
    """One file through the worker, which is started anew behind each page that was lost."""
    if file.problem is not None:
        return Failure(file.path, file.problem)
    num_ended = 0
    while True:
        process.request(file.source, passwords, reading.next_page)
        was_fresh = process.num_requests == 1
        end = _follow(process, reading)
        if not isinstance(end, Ended):
            return finish(file, reading, end)
        if end.crashed and not was_fresh:
            continue  # what earlier files left in the process's memory may be to blame: once more in a new one
        opened = reading.opened
        if opened is not None and opened.paged and reading.next_page > opened.num_pages:  # it ended within an attachment
            reading.told.append(f"attachments lost: {end.reason}")
            return finish(file, reading, ("done",))
        if opened is None or not opened.paged:
            return Failure(file.path, f"{end.reason}; split it, or save it again")
        reading.lost[reading.next_page] = end.reason
        num_ended += 1
        if num_ended >= MOST_LOST_PAGES:
            reading.lose_the_rest(f"given up after {MOST_LOST_PAGES} lost pages")
        if reading.next_page > opened.num_pages:
            return finish(file, reading, ("done",))


def _follow(process: WorkerProcess, reading: Reading) -> Message | Ended:
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
            part = Reading(reading.until, rest[1])
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
                each.lose_the_rest("given up because the file took too long")
            process.stop()
            return ("done",)


def _take_page(part: Reading, kind: str, number: int, text: str, notes: tuple[PageNote, ...] = ()) -> None:
    """A page's text, or the reason why there is none."""
    (part.pages if kind == "page" else part.lost)[number] = text
    if notes:
        part.notes[number] = notes


def _stopped(process: WorkerProcess, reason: str) -> Message:
    process.stop()
    return ("error", reason)
