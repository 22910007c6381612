"""Looking after libraries: verify, prune, remove, list."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tscli.errors import LibraryError
from tscli.paths import MANIFEST, home, library_folders
from tscli.store.manifest import Manifest
from tscli.store.reader import no_library, problem_with, require_manifest, segment_files
from tscli.store.segment import segment_path
from tscli.store.writer import Writer, record_path

USED = "used"
REMOVED = ".tscli-removed"


@dataclass(frozen=True)
class Problem:
    """A file that is not what was written, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class LibraryInfo:
    """One line of the list; dtype, kv_dtype, weights: of the model, its pages, its linear layers; size_bytes: all files in its
    folder; last_used: when it was opened last, None where that is not known; error: why the library cannot be read."""

    name: str
    folder: Path
    num_tokens: int
    num_documents: int
    size_bytes: int
    model_id: str
    dtype: str
    kv_dtype: str
    weights: str
    updated: str
    last_used: str | None = None
    error: str | None = None


def verify(folder: Path) -> list[Problem]:
    """Hash every file that the manifest refers to; LibraryError when there is no library or its manifest is damaged."""
    return damaged_files(folder, require_manifest(folder))


def damaged_files(folder: Path, manifest: Manifest) -> list[Problem]:
    """Those of the files that this manifest refers to which are not what was written; hashes each."""
    files = segment_files(folder, manifest) + [(folder / name, size, xxh3) for name, size, xxh3 in manifest.plain_files]
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
    """Remove a library, or what an ingest that never ended left; segments that others link to stay theirs.

    Who has it open goes on: mapped files last. LibraryError where there is none, or it is being written.
    """
    if not (folder / MANIFEST).is_file() and not (folder / "segments").is_dir():
        raise no_library(folder)
    gone = folder.resolve().with_name(f".{folder.name}.{os.getpid()}{REMOVED}")
    with Writer(folder):
        os.rename(folder.resolve(), gone)  # so that nobody finds half of it
    for left in gone.parent.glob(f".*{REMOVED}"):  # by this removal, and by those that were killed
        shutil.rmtree(left, ignore_errors=left != gone)


def mark_used(folder: Path) -> None:
    """Remember that a library was opened now, as the time of an empty file; a library that cannot be written forgets it."""
    with suppress(OSError):
        (folder / USED).touch(mode=0o600)


def list_libraries() -> list[LibraryInfo]:
    """All libraries under home, by name; damaged ones with their error."""
    return [_describe(folder) for folder in library_folders(home() / "libraries")]


def _describe(folder: Path) -> LibraryInfo:
    size, used = size_on_disk(folder), _last_used(folder)
    try:
        manifest = require_manifest(folder)
    except LibraryError as error:
        return LibraryInfo(folder.name, folder, 0, 0, size, "", "", "", "", "", used, str(error))
    made = manifest.fingerprint
    return LibraryInfo(
        folder.name,
        folder,
        manifest.num_tokens,
        len(manifest.documents),
        size,
        made.model_id,
        made.dtype,
        made.pages_dtype,
        made.weights_name,
        manifest.updated,
        used,
    )


def size_on_disk(folder: Path) -> int:
    """Bytes of all files of a library, of what no manifest refers to too; a segment that libraries share counts in each."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            total += path.lstat().st_size if path.is_file() else 0
    return total


def _last_used(folder: Path) -> str | None:
    try:
        seconds = (folder / USED).stat().st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
