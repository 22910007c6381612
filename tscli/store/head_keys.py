"""The keys that retrieval heads scan for a question, once more in one file: of each kv head all tokens behind each other.

Between the pages of other heads and layers they lie 4 KiB in 12, in hundreds of files. From a cold disk that is three times
what is wanted; here a scan is one linear read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from tscli.errors import DamagedLibrary
from tscli.store.manifest import Manifest
from tscli.store.segment import load_tensors

KVHead = tuple[int, int]  # layer, and number in it
Keys = tuple[Tensor, Tensor | None]  # [n, head_dim], and scales [n] of int8 ones


class KeyPages(Protocol):
    """What is read of a segment."""

    @property
    def key(self) -> Tensor: ...  # [layers, pages, kv_heads, page_size, head_dim]

    @property
    def scales(self) -> tuple[Tensor, Tensor] | None: ...  # of int8 keys the first, [layers, pages, kv_heads, page_size]

    @property
    def num_tokens(self) -> int: ...


def head_keys_tensors(segments: Sequence[KeyPages], heads: Sequence[KVHead]) -> dict[str, Tensor]:
    """As the file holds them: key [heads, n, head_dim] and, of int8 pages, scale [heads, n]; of at least one segment."""
    total, first = sum(segment.num_tokens for segment in segments), segments[0]
    made = {"key": first.key.new_empty(len(heads), total, first.key.shape[-1])}
    if first.scales is not None:
        made["scale"] = first.scales[0].new_empty(len(heads), total)
    for number, (layer, kv_head) in enumerate(heads):
        at = 0
        for segment in segments:
            stop = at + segment.num_tokens
            made["key"][number, at:stop] = segment.key[layer, :, kv_head].flatten(0, 1)[: segment.num_tokens]
            if segment.scales is not None:
                made["scale"][number, at:stop] = segment.scales[0][layer, :, kv_head].flatten()[: segment.num_tokens]
            at = stop
    return made


def read_head_keys(folder: Path, manifest: Manifest) -> dict[KVHead, Keys]:
    """The mapped keys of all tokens by kv head, none where the library has no such file; DamagedLibrary where they are not of
    its pages' shape and dtype."""
    if not manifest.head_keys_file:
        return {}
    path, made = folder / manifest.head_keys_file, manifest.fingerprint
    saved: Mapping[str, Any] = load_tensors(path)
    rows, is_int8 = (len(manifest.head_keys), manifest.num_tokens), made.pages_dtype == "int8"
    key, scale = (saved.get(name) for name in ("key", "scale"))
    fits = isinstance(key, Tensor) and key.shape == (*rows, made.head_dim) and str(key.dtype) == f"torch.{made.pages_dtype}"
    scaled = isinstance(scale, Tensor) and scale.shape == rows and scale.is_floating_point()
    if not fits or scaled != is_int8:
        raise DamagedLibrary(f"{path}: does not hold the keys of {manifest.num_tokens:,} tokens")
    return by_head(saved, manifest.head_keys)


def by_head(tensors: Mapping[str, Tensor], heads: Sequence[KVHead]) -> dict[KVHead, Keys]:
    """Each head's part of `head_keys_tensors`."""
    key, scale = tensors["key"], tensors.get("scale")
    return {head: (key[number], None if scale is None else scale[number]) for number, head in enumerate(heads)}
