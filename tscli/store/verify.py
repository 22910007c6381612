"""Looking after libraries: verify, prune, remove, list."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tscli.errors import LibraryError
from tscli.store.home import MANIFEST, home, library_folders
from tscli.store.reader import problem_with, require_manifest
from tscli.store.segment import segment_path
from tscli.store.writer import Writer, record_path


@dataclass(frozen=True)
class Problem:
    """A file that is not what was written, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class LibraryInfo:
    """One line of the list; error: why the library cannot be read."""

    name: str
    folder: Path
    num_tokens: int
    num_documents: int
    size_bytes: int
    model_id: str
    updated: str
    error: str | None = None


def verify(folder: Path) -> list[Problem]:
    """Hash every file that the manifest refers to; LibraryError when there is no library or its manifest is damaged."""
    manifest = require_manifest(folder)
    files = [(segment_path(folder, record.id), record.size_bytes, record.xxh3) for record in manifest.segments]
    files += [(folder / name, size, xxh3) for name, size, xxh3 in manifest.plain_files]
    found = [(path, problem_with(path, size, xxh3)) for path, size, xxh3 in files]
    return [Problem(str(path), reason) for path, reason in found if reason]


def prune(folder: Path) -> tuple[int, int]:
    """Remove what the manifest does not refer to; number of files and bytes removed."""
    manifest = require_manifest(folder)
    with Writer(folder):
        keep = {folder / name for name, _, _ in manifest.plain_files}
        for record in manifest.segments:
            keep |= {segment_path(folder, record.id), record_path(folder, record.id)}
        stale = [path for path in (*folder.glob("*-*.pt"), *(folder / "segments").glob("*")) if path not in keep]
        freed = sum(path.stat().st_size for path in stale)
        for path in stale:
            path.unlink()
    return len(stale), freed


def remove(folder: Path) -> None:
    """Remove a library; segments that others link to stay theirs. LibraryError where there is none, or it is being written."""
    if not (folder / MANIFEST).is_file():
        raise LibraryError(f"no library at {folder}; tscli list shows those that there are")
    with Writer(folder):
        (folder / MANIFEST).unlink()
    shutil.rmtree(folder)


def list_libraries() -> list[LibraryInfo]:
    """All libraries under home, by name; damaged ones with their error."""
    found = []
    for folder in library_folders(home() / "libraries"):
        try:
            manifest = require_manifest(folder)
        except LibraryError as error:
            found.append(LibraryInfo(folder.name, folder, 0, 0, 0, "", "", str(error)))
            continue
        size = sum(record.size_bytes for record in manifest.segments) + manifest.context_size + manifest.sketch_size
        found.append(
            LibraryInfo(
                folder.name,
                folder,
                manifest.num_tokens,
                len(manifest.documents),
                size,
                manifest.fingerprint.model_id,
                manifest.updated,
            )
        )
    return found
