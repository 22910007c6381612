"""The keys that retrieval heads scan for a question, once more in one file: of each kv head all tokens behind each other.

Between the pages of other heads and layers they lie 4 KiB in 12, in hundreds of files. From a cold disk that is three times
what is wanted; here a scan is one linear read. They are kept as int8, whatever the pages are: votes only rank passages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tscli.errors import DamagedLibrary
from tscli.store.manifest import Manifest
from tscli.store.segment import load_tensors
from tscli_kernels import PAGE_SCALE, quantise_rows

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
    """As the file holds them: key int8 [heads, n, head_dim] and scale bfloat16 [heads, n]; of at least one segment."""
    total = sum(segment.num_tokens for segment in segments)
    key = torch.empty(len(heads), total, segments[0].key.shape[-1], dtype=torch.int8, device=segments[0].key.device)
    scale = torch.empty(key.shape[:2], dtype=PAGE_SCALE, device=key.device)
    for number, (layer, kv_head) in enumerate(heads):
        at = 0
        for segment in segments:
            stop = at + segment.num_tokens
            key[number, at:stop], scale[number, at:stop] = _rows(segment, layer, kv_head)
            at = stop
    return {"key": key, "scale": scale}


def _rows(segment: KeyPages, layer: int, kv_head: int) -> tuple[Tensor, Tensor]:
    """One head's keys [n, head_dim] as int8, and their scales [n]."""
    rows = segment.key[layer, :, kv_head].flatten(0, 1)[: segment.num_tokens]
    if segment.scales is None:
        return quantise_rows(rows, PAGE_SCALE)
    return rows, segment.scales[0][layer, :, kv_head].flatten()[: segment.num_tokens]


def read_head_keys(folder: Path, manifest: Manifest) -> dict[KVHead, Keys]:
    """The mapped keys of all tokens by kv head, none where the library has no such file; DamagedLibrary where they are not of
    its pages' shape, and int8 or of their dtype, as such files were first written."""
    if not manifest.head_keys_file:
        return {}
    path, made = folder / manifest.head_keys_file, manifest.fingerprint
    saved: Mapping[str, Any] = load_tensors(path)
    rows = len(manifest.head_keys), manifest.num_tokens
    key, scale = (saved.get(name) for name in ("key", "scale"))
    scaled = isinstance(scale, Tensor) and scale.shape == rows and scale.is_floating_point()
    wanted = "int8" if scaled else made.pages_dtype
    fits = isinstance(key, Tensor) and key.shape == (*rows, made.head_dim) and str(key.dtype) == f"torch.{wanted}"
    if not fits or (wanted == "int8" and not scaled):
        raise DamagedLibrary(f"{path}: does not hold the keys of {manifest.num_tokens:,} tokens")
    return by_head(saved, manifest.head_keys)


def by_head(tensors: Mapping[str, Tensor], heads: Sequence[KVHead]) -> dict[KVHead, Keys]:
    """Each head's part of `head_keys_tensors`."""
    key, scale = tensors["key"], tensors.get("scale")
    return {head: (key[number], None if scale is None else scale[number]) for number, head in enumerate(heads)}
