"""The questions asked of a library and the pages that they selected: JSON lines beside it, readable by its owner only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tscli.durable_files import open_private
from tscli.errors import DamagedLibrary

HISTORY = "history.jsonl"


@dataclass(frozen=True)
class HistoryEntry:
    """One question; pages: the selected ones by the SHA-256 of their document, so that a renamed file keeps its own."""

    asked: str
    question: str
    pages: dict[str, list[int]]


def remember(folder: Path, asked: str, question: str, pages: Mapping[str, Sequence[int]]) -> None:
    """Append one question; the file is for its owner only, whatever it was before. OSError where it cannot be written."""
    line = json.dumps({"asked": asked, "question": question, "pages": pages}) + "\n"
    with open_private(folder / HISTORY, append=True) as file:
        file.write(line.encode())


def read_history(folder: Path) -> tuple[list[HistoryEntry], int]:
    """All questions, oldest first, and how many lines could not be read (a run that was killed leaves half a line)."""
    try:
        lines = (folder / HISTORY).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise DamagedLibrary(
            f"{folder / HISTORY}: cannot be read ({error.strerror})", "remove it to start a new one"
        ) from error
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            record = json.loads(line)
            pages = {str(sha): [int(page) for page in numbers] for sha, numbers in record["pages"].items()}
            found.append(HistoryEntry(str(record["asked"]), str(record["question"]), pages))
    return found, len(lines) - len(found)
