"""Which pages of a library were never selected over the questions asked so far. Reads manifest, provenance and history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tscli.answer.statistics import Answer
from tscli.library.layout import context_of
from tscli.store import Manifest, library_folder, read_context, read_history, require_manifest
from tscli.store import remember as write_line


@dataclass(frozen=True)
class DocumentCoverage:
    """One document's pages with text, how many of them were selected, and the ranges that never were, both ends included."""

    file: str
    pages: int
    selected: int
    never: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Coverage:
    """Selected pages over `questions` questions. unreadable: lines of the history that cannot be read, as a killed run
    leaves them.
    """

    library: str
    questions: int
    documents: tuple[DocumentCoverage, ...]
    unreadable: int

    @property
    def pages(self) -> int:
        """Pages with text of all documents."""
        return sum(document.pages for document in self.documents)

    @property
    def selected(self) -> int:
        """Those of them that were selected at least once."""
        return sum(document.selected for document in self.documents)


def coverage(library: str = "default") -> Coverage:
    """Pages selected and never selected over the questions that the library's history holds; LibraryError without a library.

    A page is selected by a question if its tokens got votes of the answer's tokens, that is, if it is among
    `Answer.sources`. A document whose content has changed since counts as never asked about.
    """
    folder = library_folder(library)
    manifest = require_manifest(folder)
    context = context_of(manifest, read_context(folder, manifest))
    history, unreadable = read_history(folder)
    selected: dict[str, set[int]] = {}
    for asked in history:
        for sha256, numbers in asked.pages.items():
            selected.setdefault(sha256, set()).update(numbers)
    documents = []
    for document in context.documents:
        own = context.page[document.token_start : document.token_end]
        pages = sorted({int(page) for page in own if page > 0})
        seen = selected.get(document.sha256, set())
        never = [page for page in pages if page not in seen]
        documents.append(DocumentCoverage(document.path, len(pages), len(pages) - len(never), _ranges(never)))
    return Coverage(manifest.library, len(history), tuple(documents), unreadable)


def remember(folder: Path, manifest: Manifest, answer: Answer) -> None:
    """Add an answer to the library's history; not a dense one, which selected nothing. OSError where it cannot be written."""
    if answer.statistics.dense:
        return
    sha256 = {str(document["path"]): str(document["sha256"]) for document in manifest.documents}
    pages: dict[str, list[int]] = {}
    for source in answer.sources:
        pages.setdefault(sha256[source.file], []).append(source.page)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_line(folder, now, answer.question, {sha: sorted(numbers) for sha, numbers in pages.items()})


def _ranges(pages: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ascending numbers as runs without gaps."""
    runs: list[tuple[int, int]] = []
    for page in pages:
        if runs and page == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], page)
        else:
            runs.append((page, page))
    return tuple(runs)
