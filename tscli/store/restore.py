"""Repairs that need no model: the manifest from the copy beside it, the segments' sidecars from the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tscli.errors import DamagedLibrary, LibraryError
from tscli.paths import MANIFEST, MANIFEST_COPY
from tscli.store.chain import PlannedSegment
from tscli.store.manifest import Manifest
from tscli.store.reader import require_manifest
from tscli.store.segment import segment_path
from tscli.store.verify import Problem
from tscli.store.writer import read_record, write_manifest, write_record

NEITHER = "run tscli ingest again with the same paths: undamaged parts are not run again"


def restore_manifest(folder: Path) -> tuple[Manifest, list[Problem]]:
    """The manifest, made anew where it was damaged or is not this library's, and what was wrong with it.

    Of manifest and copy the first counts whose tokens are there. The caller holds the lock.
    Raises LibraryError where there is no library, it is of a newer format, or the copy is damaged too.
    """
    path, copy = folder / MANIFEST, folder / MANIFEST_COPY
    kept, what = _read_copy(copy), None
    try:
        manifest = require_manifest(folder)
        if kept is not None and _has_tokens(folder, kept) and not _has_tokens(folder, manifest):
            manifest, what = kept, "is another library's"
    except DamagedLibrary as error:
        if kept is None:
            raise DamagedLibrary(f"{error.what}, and {copy.name} next to it does not help", NEITHER) from error
        manifest, what = kept, error.what.removeprefix(f"{path}: ")
    text = manifest.to_json().encode()
    if any(not file.is_file() or file.read_bytes() != text for file in (path, copy)):
        write_manifest(folder, manifest)
    return manifest, [Problem(str(path), what)] if what else []


def _read_copy(copy: Path) -> Manifest | None:
    try:
        return Manifest.from_json(copy.read_bytes().decode(), copy)
    except (OSError, UnicodeDecodeError, LibraryError):
        return None


def _has_tokens(folder: Path, manifest: Manifest) -> bool:
    return (folder / manifest.context_file).is_file()


def restore_records(folder: Path, manifest: Manifest, damaged: Sequence[Problem]) -> None:
    """Make the sidecars say what the manifest says, and put damaged segments away; the caller holds the lock."""
    lost = {problem.file for problem in damaged}
    for record in manifest.segments:
        planned = PlannedSegment(record.id, record.parent, record.start, record.num_tokens, record.start)
        if read_record(folder, planned) != record:
            write_record(folder, record)
        if str(path := segment_path(folder, record.id)) in lost:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
