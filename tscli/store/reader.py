"""Opening a library to read: manifest, context, mapped segments, each verified once."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tscli.durable_files import replacing
from tscli.errors import DamagedLibrary, LibraryError, ResourceError
from tscli.paths import MANIFEST, MANIFEST_COPY, library_name
from tscli.store.damaged import damaged
from tscli.store.head_keys import Keys, KVHead, read_head_keys
from tscli.store.manifest import Manifest, SegmentRecord
from tscli.store.segment import Segment, hash_file, load_tensors, map_segment, segment_path

VERIFIED = "verified.json"


@dataclass(frozen=True)
class StoredLibrary:
    """An open library: mapped, nothing copied. sketch: its tensors by name, none where the context has no sketch. head_keys: of
    all tokens by (layer, kv head), what retrieval heads scan, where it was known at ingest which they are."""

    folder: Path
    manifest: Manifest
    context: dict[str, Tensor]
    segments: list[Segment]
    sketch: dict[str, Tensor]
    head_keys: dict[KVHead, Keys]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest, None where there is no library yet; LibraryError when it is damaged or newer."""
    path = folder / MANIFEST
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        if not (folder / MANIFEST_COPY).exists():
            return None
        if path.exists():  # it was replaced in this very moment
            return read_manifest(folder)
        raise damaged(folder, f"{path}: is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(folder, f"{path}: cannot be read ({error})") from error
    return Manifest.from_json(text, path)


def require_manifest(folder: Path) -> Manifest:
    """The manifest; LibraryError where there is no library, or its manifest is damaged or newer."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise no_library(folder)
    return manifest


def no_library(folder: Path) -> LibraryError:
    """The error where there is none: what was looked for, where, and how to make it."""
    name = library_name(folder)
    named = "" if os.sep in name else f" named {name}"
    return LibraryError(
        f"no library{named} at {folder}; tscli list shows the libraries that exist; "
        f"make it with: tscli ingest PATH --library {shlex.quote(name)}"
    )


def read_context(folder: Path, manifest: Manifest) -> dict[str, Tensor]:
    """Tokens and provenance, mapped; verified once."""
    path = folder / manifest.context_file
    _verify_files(folder, [(path, manifest.context_size, manifest.context_xxh3)])
    return load_tensors(path)


def read_sketch(folder: Path, manifest: Manifest) -> dict[str, Tensor]:
    """The sketch's tensors, mapped, none where the context has no sketch; verified once."""
    if not manifest.sketch_file:
        return {}
    path = folder / manifest.sketch_file
    _verify_files(folder, [(path, manifest.sketch_size, manifest.sketch_xxh3)])
    return load_tensors(path)


def open_library(folder: Path, *, verify: bool = False) -> StoredLibrary:
    """Open what the manifest refers to; LibraryError names a file that is missing, damaged or foreign, or the layout of keys
    where it is not this version's.

    Each file's checksum is computed unless the same file (size, times, inode) passed before; `verify` computes all. A writer
    may commit or remove meanwhile: then what is opened is the new state, or none.
    """
    try:
        manifest, opened = require_manifest(folder), None
        while opened is None:
            try:
                opened = _open(folder, manifest, verify=verify)
            except DamagedLibrary:
                before, manifest = manifest, require_manifest(folder)
                if manifest == before:
                    raise
    except DamagedLibrary as error:
        raise damaged(folder, error.what) from error
    return opened


def _open(folder: Path, manifest: Manifest, *, verify: bool) -> StoredLibrary:
    manifest.check_layout()
    files = segment_files(folder, manifest)
    files += [(folder / name, size, xxh3) for name, size, xxh3 in manifest.plain_files]
    _verify_files(folder, files, again=verify)
    segments = [map_segment(folder, record) for record in manifest.segments]
    shape = (manifest.fingerprint.num_layers, manifest.fingerprint.num_kv_heads, manifest.fingerprint.head_dim)
    for segment in segments:
        _check_shape(folder, segment, shape, manifest.fingerprint.pages_dtype)
    sketch = load_tensors(folder / manifest.sketch_file) if manifest.sketch_file else {}
    context, head_keys = load_tensors(folder / manifest.context_file), read_head_keys(folder, manifest)
    return StoredLibrary(folder, manifest, context, segments, sketch, head_keys)


def problem_with(path: Path, size_bytes: int, xxh3: str) -> str | None:
    """Why this file is not the one that was written, None if it is; hashes it."""
    try:
        found = path.stat().st_size
        if found != size_bytes:
            return f"has {found:,} bytes, {size_bytes:,} were written"
        return None if hash_file(path) == xxh3 else "its checksum does not match"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def require_segments(folder: Path, manifest: Manifest) -> None:
    """LibraryError where a segment's file is missing or damaged; each is hashed once."""
    try:
        _verify_files(folder, segment_files(folder, manifest))
    except DamagedLibrary as error:
        raise damaged(folder, error.what) from error


def segment_files(folder: Path, manifest: Manifest) -> list[tuple[Path, int, str]]:
    """Each with its size and checksum; documents that say the same share one."""
    return list({(segment_path(folder, record.id), record.size_bytes, record.xxh3): None for record in manifest.segments})


def _verify_files(folder: Path, files: list[tuple[Path, int, str]], *, again: bool = False) -> None:
    seen = _read_verified(folder)
    fresh: dict[str, Any] = {}
    for path, size_bytes, xxh3 in files:
        state = _state(path, xxh3)
        if again or state is None or seen.get(path.name) != state or state[0] != size_bytes:
            if reason := problem_with(path, size_bytes, xxh3):
                raise DamagedLibrary(f"{path}: {reason}")
            state = _state(path, xxh3)
        fresh[path.name] = state
    _remember(folder, seen, fresh)


def remember_verified(folder: Path, files: list[tuple[Path, str]]) -> None:
    """These files have just been hashed, each with this result: whoever reads them next need not do it again."""
    _remember(folder, _read_verified(folder), {path.name: _state(path, xxh3) for path, xxh3 in files})


def _remember(folder: Path, seen: dict[str, Any], fresh: dict[str, Any]) -> None:
    if any(seen.get(name) != state for name, state in fresh.items()):
        # a read-only library is verified each time
        with contextlib.suppress(OSError, ResourceError), replacing(folder / VERIFIED) as file:
            file.write(json.dumps({**seen, **fresh}).encode())


def _state(path: Path, xxh3: str) -> list[Any] | None:
    """What identifies a file that was verified: size, times, inode, and the checksum that it passed.

    The time of the last change to its entry cannot be set back, as that of its content can.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, xxh3]


def _read_verified(folder: Path) -> dict[str, Any]:
    try:
        seen = json.loads((folder / VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return seen if isinstance(seen, dict) else {}


def _check_shape(folder: Path, segment: Segment, shape: tuple[int, int, int], dtype: str) -> None:
    layers, _, kv_heads, _, head_dim = segment.key.shape
    if (layers, kv_heads, head_dim) != shape or str(segment.key.dtype) != f"torch.{dtype}":
        path = segment_path(folder, segment.record.id)
        raise DamagedLibrary(f"{path}: its tensors are not of the library's shape or dtype")


def present(folder: Path, record: SegmentRecord) -> bool:
    """Whether the file of this record is there and whole (verified once)."""
    try:
        _verify_files(folder, [(segment_path(folder, record.id), record.size_bytes, record.xxh3)])
    except LibraryError:
        return False
    return True
