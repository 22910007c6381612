"""What an evaluation has answered so far, a line each, so that an interrupted one goes on where it was. Files and JSON only."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from tscli.errors import UsageError

FIRST = '{"settings": '  # what such a file begins with


class Entry(Protocol):
    """What a journal keeps: an answer with its scores. Fulfilled by `Trial` and `KeptAnswer`."""

    @property
    def key(self) -> Hashable:
        """What tells it from the other answers of an evaluation."""

    def record(self) -> dict[str, Any]:
        """As it is kept in a file."""

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """As it was kept; KeyError, TypeError or ValueError where the record is of something else."""


EntryT = TypeVar("EntryT", bound=Entry)


class Journal(Generic[EntryT]):
    """Answers by their key, read from a file and appended to it. settings: all that changes an answer, the first line."""

    def __init__(self, file: Path, settings: Mapping[str, Any], kind: type[EntryT]) -> None:
        self.file = file
        self.entries: dict[Hashable, EntryT] = {}
        lines = self._read()
        if not lines:
            self._write("w", {"settings": dict(settings)})
            return
        _check(file, lines[0].get("settings"), json.loads(json.dumps(dict(settings))))
        try:
            for line in lines[1:]:
                entry = kind.of_record(line)
                self.entries[entry.key] = entry
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{file}: does not hold the answers of an evaluation ({error}); name another --resume file"
            ) from error

    def add(self, entry: EntryT) -> None:
        """Keep this answer; it is in the file when this returns."""
        self.entries[entry.key] = entry
        self._write("a", entry.record())

    def _read(self) -> list[dict[str, Any]]:
        """The lines of the file, but for a last one that was cut off, which is removed."""
        try:
            text = self.file.read_bytes().decode()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.file}: cannot be read ({error}); name another --resume file") from error
        if text and not text.startswith(FIRST):
            raise UsageError(f"{self.file}: does not hold the answers of an evaluation; name another --resume file")
        whole = text[: text.rfind("\n") + 1]
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except json.JSONDecodeError as error:
            raise UsageError(
                f"{self.file}: does not hold the answers of an evaluation ({error}); name another --resume file"
            ) from error
        if whole != text:
            os.truncate(self.file, len(whole.encode()))  # never written anew: what it holds may have taken hours
        return lines

    def _write(self, mode: str, line: dict[str, Any]) -> None:
        try:
            with self.file.open(mode, encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UsageError(f"{self.file}: cannot be written ({error}); name another --resume file") from error


def _check(file: Path, kept: Any, wanted: dict[str, Any]) -> None:
    """UsageError names the settings in which this evaluation differs from the file's."""
    if not isinstance(kept, dict):
        raise UsageError(f"{file}: does not hold the answers of an evaluation; name another --resume file")
    different = [name for name in sorted({*kept, *wanted}) if kept.get(name) != wanted.get(name)]
    if different:
        parts = [f"{name} (there {kept.get(name)}, here {wanted.get(name)})" for name in different]
        raise UsageError(f"{file} was made with other settings: {', '.join(parts)}; use those, or name another --resume file")
