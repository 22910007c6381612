"""One segment file: whole pages of all layers, keys before RoPE and values. Written once, named by its id, mapped to read."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from tscli.durable_files import replacing
from tscli.errors import DamagedLibrary
from tscli.store.manifest import SegmentRecord

BLOCK = 8 << 20


@dataclass(frozen=True)
class Segment:
    """A mapped segment; key, value: [layers, pages, kv_heads, page_size, head_dim], read only, in the page cache.

    scales: of int8 key and value, [layers, pages, kv_heads, page_size] each; None where the pages are floats.
    """

    record: SegmentRecord
    key: Tensor
    value: Tensor
    scales: tuple[Tensor, Tensor] | None = None

    @property
    def num_tokens(self) -> int:
        """Filled slots; the last page may be partly empty."""
        return self.record.num_tokens


def segment_path(folder: Path, segment_id: str) -> Path:
    """Where a library keeps this segment."""
    return folder / "segments" / f"{segment_id}.pt"


def map_segment(folder: Path, record: SegmentRecord) -> Segment:
    """Map a segment's file; nothing is read yet. LibraryError when it is not what the record says."""
    path = segment_path(folder, record.id)
    saved = load_tensors(path)
    key: Any = saved.get("key")
    value: Any = saved.get("value")
    tensors = (
        isinstance(key, Tensor)
        and isinstance(value, Tensor)
        and key.ndim == 5
        and key.shape == value.shape
        and key.dtype == value.dtype
    )
    if not tensors or key.shape[1] * key.shape[3] < record.num_tokens:
        raise DamagedLibrary(f"{path}: does not hold the pages of {record.num_tokens} tokens")
    if key.dtype != torch.int8:
        return Segment(record, key, value)
    scales: Any = (saved.get("key_scale"), saved.get("value_scale"))
    if not all(isinstance(scale, Tensor) and scale.is_floating_point() and scale.shape == key.shape[:4] for scale in scales):
        raise DamagedLibrary(f"{path}: does not hold the scales of its pages")
    return Segment(record, key, value, scales)


def load_tensors(path: Path) -> dict[str, Any]:
    """torch.load with mmap and weights_only: never executes what a file says. LibraryError on anything unreadable."""
    try:
        saved = torch.load(path, mmap=True, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise DamagedLibrary(f"{path}: missing") from None
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DamagedLibrary(f"{path}: cannot be read ({first})") from error
    if not isinstance(saved, dict):
        raise DamagedLibrary(f"{path}: does not hold tensors by name")
    return saved


def hash_file(path: Path) -> str:
    """XXH3-128 of a file, in blocks of 8 MiB."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> tuple[int, str]:
    """torch.save, whole or not there; size in bytes and XXH3-128 of the file."""
    with _without_crc32(), replacing(path) as file:
        torch.save(tensors, file)
    return path.stat().st_size, hash_file(path)


@contextlib.contextmanager
def _without_crc32() -> Iterator[None]:
    """Let torch.save leave out the checksums of the zip format: they take twice as long as all else, and XXH3 is of the whole
    file."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)
