"""One library as one file: a tar of its manifest and of every file that the manifest names, with a list of their checksums.

Believes nothing that an archive says: a member is taken only under a name that the manifest must have, and nothing is visible
before all of it was verified. What pages hold cannot be told without running the model: an archive is as good as its maker.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import xxhash

from tscli.durable_files import make_private, replacing, sync_folder, writing
from tscli.errors import DamagedLibrary, LibraryError, ResourceError, UsageError
from tscli.paths import MANIFEST, NAME, library_folder
from tscli.store.chain import PlannedSegment
from tscli.store.damaged import damaged
from tscli.store.manifest import Manifest, SegmentRecord
from tscli.store.reader import present, problem_with, require_manifest
from tscli.store.segment import BLOCK, segment_path
from tscli.store.writer import Writer, read_record, siblings, take_over, write_manifest, write_record

CHECKSUMS = "checksums.txt"  # as xxh128sum writes and checks them
LARGEST_INDEX = 256 << 20
STAGE = ".tscli-import"
AGAIN = "nothing was imported; fetch or export the archive again"
UNREADABLE = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)
Parts = Mapping[str, tuple[int, str]]  # size and XXH3-128 of each file, by its path inside the library
OnBytes = Callable[[int, int], None]  # bytes done, bytes in all


def export_library(folder: Path, file: Path, *, force: bool = False, on_bytes: OnBytes | None = None) -> int:
    """Write a library, verified, into one file; its size in bytes. on_bytes is told how far it is.

    Raises LibraryError where there is none or it is damaged, UsageError where the file is there already, unless `force`.
    """
    manifest = require_manifest(folder)
    if file.exists() and not file.is_file():  # a device would be replaced by a file, for everybody
        raise UsageError(f"{file} is a folder or a device, not a file; name a file to write")
    if file.exists() and not force:
        raise UsageError(f"{file} already exists; name another file, or replace it with --force")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent} is not a folder; create it, or name another file")
    with (
        replacing(file) as target,
        tarfile.TarFile(fileobj=target, mode="w", format=tarfile.PAX_FORMAT, copybufsize=BLOCK) as tar,
    ):
        _pack(tar, folder, manifest, _Progress(on_bytes, _parts(manifest)))
    return file.stat().st_size


def import_library(file: Path, name: str | None = None, *, force: bool = False, on_bytes: OnBytes | None = None) -> Path:
    """Make the library of an archive, under its own name or another one; the folder of it. on_bytes is told how far it is.

    Segments that a library beside it holds are linked, as ingest does. Raises LibraryError for a file that is no archive, is
    damaged or holds anything but a library, and, unless `force`, where there is a library of that name; UsageError for a bad
    name or a file that is not there; ResourceError where the disk is too small. After an error everything is as it was.
    """
    with _reading(file) as tar:
        manifest, parts = _read_index(file, tar)
        folder = _folder_for(manifest, name)
        _refuse_existing(folder, force=force)
        with writing(folder.parent), _stage_beside(folder.resolve()) as stage:
            _unpack(file, tar, stage, parts, _held(folder, manifest), _Progress(on_bytes, parts))
            for record in manifest.segments:
                write_record(stage, record)
            write_manifest(stage, replace(manifest, library=folder.name))
            _put(stage, folder.resolve(), force=force)
    return folder


class _Progress:
    """Counts the bytes of a library's files as they pass, and tells how many they are."""

    def __init__(self, on_bytes: OnBytes | None, parts: Parts) -> None:
        self._on_bytes = on_bytes
        self._done, self._total = 0, sum(size for size, _ in parts.values())

    def add(self, num_bytes: int) -> None:
        self._done += num_bytes
        if self._on_bytes is not None:
            self._on_bytes(self._done, self._total)

    def reading(self, source: IO[bytes]) -> IO[bytes]:
        """The file, counted as it is read."""
        return _Counted(source, self.add)  # type: ignore[return-value]


class _Counted:
    def __init__(self, source: IO[bytes], add: Callable[[int], None]) -> None:
        self._source = source
        self._add = add

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._add(len(data))
        return data


def _parts(manifest: Manifest) -> Parts:
    parts = {name: (size, xxh3) for name, size, xxh3 in manifest.plain_files}
    folder = Path()
    return parts | {segment_path(folder, r.id).as_posix(): (r.size_bytes, r.xxh3) for r in manifest.segments}


def _listing(manifest_text: bytes, parts: Parts) -> bytes:
    sums = {MANIFEST: xxhash.xxh3_128_hexdigest(manifest_text), **{name: xxh3 for name, (_, xxh3) in parts.items()}}
    return "".join(f"{xxh3}  {name}\n" for name, xxh3 in sums.items()).encode()


def _pack(tar: tarfile.TarFile, folder: Path, manifest: Manifest, progress: _Progress) -> None:
    text, parts = manifest.to_json().encode(), _parts(manifest)
    for name, content in ((CHECKSUMS, _listing(text, parts)), (MANIFEST, text)):
        tar.addfile(_member(name, len(content)), io.BytesIO(content))
    for name, (size, xxh3) in parts.items():
        if reason := problem_with(folder / name, size, xxh3):
            raise damaged(folder, f"{folder / name}: {reason}")
        with (folder / name).open("rb") as source:
            tar.addfile(_member(name, size), progress.reading(source))


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Neither times nor users: the same library gives the same archive."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member


@contextmanager
def _reading(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with _opened(file) as tar:
            yield tar
    except UNREADABLE as error:
        raise DamagedLibrary(
            f"{file}: not an archive that tscli export wrote, or only a part of one ({error})", AGAIN
        ) from error


def _opened(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file, "r:")
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read ({error.strerror or error}); name an archive that tscli export made"
        ) from error


def _read_index(file: Path, tar: tarfile.TarFile) -> tuple[Manifest, Parts]:
    """The manifest and the files that must follow."""
    listing, text = (_read_small(file, tar, name) for name in (CHECKSUMS, MANIFEST))
    try:
        manifest = Manifest.from_json(text.decode(), file)
    except DamagedLibrary as error:
        raise DamagedLibrary(error.what, AGAIN) from error
    parts = _parts(manifest)
    if _listing(text, parts) != listing:
        raise DamagedLibrary(f"{file}: its manifest does not match its checksums", AGAIN)
    return manifest, parts


def _read_small(file: Path, tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.next()
    if member is None or member.name != name or not _is_plain(member) or member.size > LARGEST_INDEX:
        raise DamagedLibrary(f"{file}: not an archive that tscli export wrote: {name} is not where it must be", AGAIN)
    source = tar.extractfile(member)
    assert source is not None
    return source.read()


def _is_plain(member: tarfile.TarInfo) -> bool:
    """A file with its content: no link, folder, device or sparse file."""
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()


def _folder_for(manifest: Manifest, name: str | None) -> Path:
    if name is not None:
        return library_folder(name)
    if not isinstance(manifest.library, str) or not NAME.fullmatch(manifest.library):
        raise UsageError(
            f"the archive calls its library {manifest.library!r}, which is not a valid library name; choose one with --library"
        )
    return library_folder(manifest.library)


def _refuse_existing(folder: Path, *, force: bool) -> None:
    """A library is replaced when that is asked for; a folder of something else never is."""
    if (folder / MANIFEST).is_file():
        if not force:
            raise LibraryError(
                f"library {folder.name} already exists; choose another name with --library, or replace it with --force"
            )
    elif folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {"lock", "lock.holder"}):
        raise LibraryError(f"{folder} is not empty, and is not a complete library; choose another name with --library")


@contextmanager
def _stage_beside(folder: Path) -> Iterator[Path]:
    """A hidden folder on the same disk, gone in the end; those of killed imports go first."""
    make_private(folder.parent)
    for stale in folder.parent.glob(f".*{STAGE}"):
        with suppress(LibraryError), Writer(stale):
            shutil.rmtree(stale)
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=STAGE, dir=folder.parent))
    try:
        with Writer(stage):
            yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _held(folder: Path, manifest: Manifest) -> dict[str, tuple[Path, SegmentRecord]]:
    """The segments that need not be unpacked: a library has them, bit for bit. By their path inside the library."""
    held = {}
    for record in manifest.segments:
        planned = PlannedSegment(record.id, record.parent, record.start, record.num_tokens, record.start)
        for library in (folder, *siblings(folder)):
            if read_record(library, planned) == record and present(library, record):
                held[segment_path(Path(), record.id).as_posix()] = (library, record)
                break
    return held


def _unpack(
    file: Path,
    tar: tarfile.TarFile,
    stage: Path,
    parts: Parts,
    held: Mapping[str, tuple[Path, SegmentRecord]],
    progress: _Progress,
) -> None:
    needed, free = sum(size for name, (size, _) in parts.items() if name not in held), shutil.disk_usage(stage).free
    if needed > free:
        raise ResourceError(f"{stage.parent}: the library takes {needed:,} bytes, {free:,} are free; make room")
    left = dict(parts)
    while (member := tar.next()) is not None:
        if member.name not in left or not _is_plain(member) or member.size != left[member.name][0]:
            raise DamagedLibrary(f"{file}: {member.name!r} is not one of the files that its manifest names", AGAIN)
        size, xxh3 = left.pop(member.name)
        if member.name in held:
            library, record = held[member.name]
            take_over(library, stage, record)
            progress.add(size)
            continue
        content, path = tar.extractfile(member), stage / member.name
        assert content is not None
        make_private(path.parent)
        with replacing(path) as target:
            shutil.copyfileobj(progress.reading(content), target, BLOCK)
        if reason := problem_with(path, size, xxh3):
            raise DamagedLibrary(f"{file}: {member.name} {reason}", AGAIN)
    if left:
        raise DamagedLibrary(f"{file}: {next(iter(left))} is missing", AGAIN)


def _put(stage: Path, folder: Path, *, force: bool) -> None:
    """Two renames: a reader finds the old library, for a moment none, then the whole new one."""
    old = stage.with_name(f"{stage.name}{STAGE}")
    with Writer(folder):
        _refuse_existing(folder, force=force)
        os.rename(folder, old)
        try:
            os.rename(stage, folder)
        except OSError:
            os.rename(old, folder)
            raise
        sync_folder(folder.parent)
    shutil.rmtree(old)
