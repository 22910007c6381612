"""The one writer of a library: takes the lock, finds which segments are missing, writes segments, commits the manifest.

A segment's size and checksum go to a small sidecar file before anything refers to it, so that a killed run is resumed
from what is whole on disk.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType

from filelock import FileLock, Timeout
from torch import Tensor

from tscli.durable_files import link, make_private, replacing, writing
from tscli.errors import DamagedLibrary, LibraryError, ResourceError
from tscli.paths import MANIFEST, MANIFEST_COPY, library_folders
from tscli.store.chain import PlannedSegment
from tscli.store.damaged import damaged
from tscli.store.head_keys import KVHead, head_keys_tensors
from tscli.store.manifest import PLAIN_FILE, Manifest, SegmentRecord
from tscli.store.reader import present, problem_with, read_manifest, remember_verified
from tscli.store.segment import Segment, hash_file, map_segment, save_tensors, segment_path


def record_path(folder: Path, segment_id: str) -> Path:
    """The sidecar that says what a segment's file must be."""
    return segment_path(folder, segment_id).with_suffix(".json")


def read_record(folder: Path, planned: PlannedSegment) -> SegmentRecord | None:
    """The record of a segment that was written here, with its place in the plan; None if there is none that fits."""
    try:
        record = SegmentRecord(**json.loads(record_path(folder, planned.id).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    fits = (record.id, record.parent, record.num_tokens) == (planned.id, planned.parent, planned.num_tokens)
    return replace(record, start=planned.start) if fits else None  # an independent document may have moved


def missing_segments(folder: Path, planned: Sequence[PlannedSegment]) -> list[PlannedSegment]:
    """Which of these are whole neither in this library nor in one beside it; reads only."""
    return [segment for segment in planned if _holder(folder, segment) is None]


def _holder(folder: Path, planned: PlannedSegment) -> Path | None:
    """The library that holds this segment: this one, or one beside it."""
    for library in (folder, *siblings(folder)):
        record = read_record(library, planned)
        if record is not None and present(library, record):
            return library
    return None


def siblings(folder: Path) -> list[Path]:
    """The libraries beside this one."""
    return [library for library in library_folders(folder.parent) if library != folder]


def write_record(folder: Path, record: SegmentRecord) -> None:
    """Say beside a segment's file what it must be."""
    path = record_path(folder, record.id)
    with writing(folder):
        make_private(path.parent)
    with replacing(path) as file:
        file.write(json.dumps(asdict(record)).encode())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make this what readers see, in one rename; then keep a copy, from which `restore_manifest` makes a damaged one whole."""
    text = manifest.to_json().encode()
    for name in (MANIFEST, MANIFEST_COPY):
        with replacing(folder / name) as file:
            file.write(text)


def take_over(holder: Path, folder: Path, record: SegmentRecord) -> None:
    """Link a segment of another library into this one, or copy it where links fail; DamagedLibrary if it changes meanwhile."""
    source, target = segment_path(holder, record.id), segment_path(folder, record.id)
    with writing(target.parent):
        make_private(target.parent)
        link(source, target)
    if hash_file(target) != record.xxh3:
        target.unlink()
        raise DamagedLibrary(f"{source}: changed while it was linked", "ingest again")
    write_record(folder, record)


class Writer:
    """Holds the library's lock while it is open; LibraryError at once if another process holds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / "lock", timeout=0, mode=0o600)
        self._hashed: list[tuple[Path, str]] = []

    def __enter__(self) -> Writer:
        try:
            with writing(self.folder):
                self._take()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _take(self) -> None:
        make_private(self.folder)
        holder = self.folder / "lock.holder"
        try:
            self._lock.acquire()
        except Timeout:
            who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
            raise LibraryError(
                f"library {self.folder.name} is being written by {who}; wait for it to end, or choose another --library"
            ) from None
        self._say_who(holder)
        for stale in self.folder.rglob(".*.tmp"):
            stale.unlink(missing_ok=True)  # a reader may just be done with it

    @staticmethod
    def _say_who(holder: Path) -> None:
        """For a second writer to read; a full disk must not keep a library from being removed."""
        with suppress(OSError, ResourceError), replacing(holder) as file:
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()

    def missing(self, planned: Sequence[PlannedSegment]) -> list[PlannedSegment]:
        """Which segments must be computed; those of libraries beside this one are linked in (copied where links fail)."""
        missing = []
        for segment in planned:
            holder = _holder(self.folder, segment)
            if holder is None:
                missing.append(segment)
            elif holder != self.folder:
                record = read_record(holder, segment)
                assert record is not None
                take_over(holder, self.folder, record)
        return missing

    def record(self, planned: PlannedSegment) -> SegmentRecord:
        """The record of a segment that is here."""
        record = read_record(self.folder, planned)
        if record is None:
            raise damaged(self.folder, f"{record_path(self.folder, planned.id)}: missing")
        return record

    def trust(self, records: Sequence[SegmentRecord]) -> None:
        """Take the checksums of segments that another process of this run wrote for those of what is on disk."""
        self._hashed += [(segment_path(self.folder, record.id), record.xxh3) for record in records]

    def map(self, record: SegmentRecord) -> Segment:
        """Map a committed segment."""
        return map_segment(self.folder, record)

    def write_segment(
        self, planned: PlannedSegment, key: Tensor, value: Tensor, scales: tuple[Tensor, Tensor] | None = None
    ) -> SegmentRecord:
        """Commit a segment: its file, then its sidecar, each whole or not there.

        key, value, scales: as in `Segment`. Raises ResourceError when the disk is full.
        """
        path, tensors = segment_path(self.folder, planned.id), {"key": key, "value": value}
        if scales is not None:
            tensors |= {"key_scale": scales[0], "value_scale": scales[1]}
        with writing(path.parent):
            make_private(path.parent)
        size, xxh3 = self._save(path, tensors)
        record = SegmentRecord(planned.id, planned.parent, planned.start, planned.num_tokens, size, xxh3)
        write_record(self.folder, record)
        return record

    def commit(
        self,
        manifest: Manifest,
        context: Mapping[str, Tensor],
        sketch: Mapping[str, Tensor] | None = MappingProxyType({}),
        heads: Sequence[KVHead] = (),
    ) -> Manifest:
        """Make this what readers see: context, sketch and head keys under names of their own, then the manifest in one rename.

        sketch: None for the one that is committed already. heads: (layer, kv head) of those whose keys a question scans.
        """
        previous = self._previous()
        stem = f"{manifest.tokens_sha256[:16]}-{os.urandom(4).hex()}.pt"
        path, sketch_path, keys_path = (self.folder / f"{name}-{stem}" for name in ("context", "sketch", "head-keys"))
        size, xxh3 = self._save(path, context)
        sketched = (sketch_path.name, *self._save(sketch_path, sketch)) if sketch else ("", 0, "")
        if sketch is None and previous is not None:
            sketched = (previous.sketch_file, previous.sketch_size, previous.sketch_xxh3)
        scanned = self._held_head_keys(previous, manifest, heads) or self._save_head_keys(keys_path, manifest, heads)
        complete = replace(
            manifest,
            created=previous.created if previous else manifest.created,
            updated=datetime.now(UTC).isoformat(timespec="seconds"),
            context_file=path.name,
            context_size=size,
            context_xxh3=xxh3,
            sketch_file=sketched[0],
            sketch_size=sketched[1],
            sketch_xxh3=sketched[2],
            head_keys=tuple(heads) if scanned[0] else (),
            head_keys_file=scanned[0],
            head_keys_size=scanned[1],
            head_keys_xxh3=scanned[2],
        )
        complete = replace(complete, format_version=complete.oldest_format)
        complete._check()
        write_manifest(self.folder, complete)
        remember_verified(self.folder, self._hashed)
        kept = {name for state in (complete, previous) if state for name, _, _ in state.plain_files}
        for old in self.folder.glob("*.pt"):
            if PLAIN_FILE.fullmatch(old.name) and old.name not in kept:
                old.unlink()
        return complete

    def _held_head_keys(
        self, previous: Manifest | None, manifest: Manifest, heads: Sequence[KVHead]
    ) -> tuple[str, int, str] | None:
        """The file of these heads' keys that is committed already, where it is whole and of the same segments."""
        if previous is None or (previous.head_keys, previous.segments) != (tuple(heads), manifest.segments):
            return None
        held = previous.head_keys_file, previous.head_keys_size, previous.head_keys_xxh3
        return held if held[0] and problem_with(self.folder / held[0], *held[1:]) is None else None

    def _save_head_keys(self, path: Path, manifest: Manifest, heads: Sequence[KVHead]) -> tuple[str, int, str]:
        if not heads or not manifest.segments:
            return "", 0, ""
        return path.name, *self._save(path, head_keys_tensors([self.map(record) for record in manifest.segments], heads))

    def _save(self, path: Path, tensors: Mapping[str, Tensor]) -> tuple[int, str]:
        size, xxh3 = save_tensors(path, dict(tensors))
        self._hashed.append((path, xxh3))
        return size, xxh3

    def _previous(self) -> Manifest | None:
        try:
            return read_manifest(self.folder)
        except LibraryError:
            return None
