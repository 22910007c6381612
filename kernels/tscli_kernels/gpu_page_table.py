"""Keys that lie in several segments' pages in a GPU's memory, read through a table of where each page begins."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

UNIT = 16  # elements: keys of a page begin at a multiple of so many, for a kernel reads rows 16 bytes at a time


@dataclass(frozen=True)
class PageOffsets:
    """Where segments' pages begin, in elements from the first of `segments[0]`.

    offsets: int64 [pages], in layer 0. layer_strides: int64 [pages], how much farther in each next layer. head_stride: how much
    farther the next kv head's rows begin.
    """

    segments: tuple[Tensor, ...]
    offsets: Tensor
    layer_strides: Tensor
    head_stride: int

    @classmethod
    def of_segments(cls, pages: Sequence[Tensor], used: Sequence[int], unit: int) -> PageOffsets | None:
        """Of so many pages of each segment, [layers, pages, kv_heads, page_size, ...]; None where one is no multiple of `unit`
        elements away."""
        first, width = pages[0], pages[0].element_size()
        head_stride = first[0, 0, 0].numel()
        away = np.array([part.data_ptr() - first.data_ptr() for part in pages], np.int64)
        offsets = np.repeat(away // width, used) + _within(used) * first[0, 0].numel()
        strides = np.repeat(np.array([part.stride(0) for part in pages], np.int64), used)
        if (away % width).any() or (offsets % unit).any() or (strides % unit).any() or head_stride % unit:
            return None
        there, next_layer = (torch.from_numpy(part).to(first.device) for part in (offsets, strides))
        return cls(tuple(pages), there, next_layer, head_stride)

    def of(self, layer: int, kv_head: int, first: int, end: int) -> Tensor:
        """Where a layer's and kv head's rows begin in pages [first, end): int64 [end - first]."""
        return self.offsets[first:end] + (self.layer_strides[first:end] * layer + kv_head * self.head_stride)


@dataclass(frozen=True)
class GpuPageTable:
    """Pages of segments that stand one behind the other, of one shape and dtype, which are held.

    keys: where they lie. scales: of int8 pages, where those of their rows lie. starts: int64 [pages + 1], the position of each
    page's first token; the end. bounds: the same numbers, not on the GPU.
    """

    keys: PageOffsets
    scales: PageOffsets | None
    starts: Tensor
    bounds: tuple[int, ...]
    page_size: int

    @classmethod
    def of_segments(cls, keys: Sequence[Tensor], counts: Sequence[int], scales: Sequence[Tensor] = ()) -> GpuPageTable | None:
        """The table of these pages, so many tokens in each segment; None where they do not all lie on one GPU and alike.

        keys: [layers, pages, kv_heads, page_size, head_dim], any float dtype, or int8 with scales [layers, pages, kv_heads,
        page_size].
        """
        if not keys or not _are_alike(keys) or not _are_alike(scales):
            return None
        if len(scales) != (len(keys) if keys[0].dtype == torch.int8 else 0):
            return None
        page_size = keys[0].shape[3]
        used = [-(-count // page_size) for count in counts]
        rows = PageOffsets.of_segments(keys, used, UNIT)
        sizes = PageOffsets.of_segments(scales, used, 1) if scales else None
        if rows is None or (scales and sizes is None):
            return None
        ends = np.cumsum(np.array(counts, np.int64))
        starts = np.repeat(ends - counts, used) + _within(used) * page_size
        bounds = (*starts.tolist(), int(ends[-1]))
        return cls(rows, sizes, torch.tensor(bounds, device=keys[0].device), bounds, page_size)

    def pages_of(self, start: int, stop: int) -> tuple[int, int]:
        """The pages that hold positions [start, stop): the first of them, and the one behind the last."""
        return bisect_right(self.bounds, start) - 1, bisect_left(self.bounds, stop)


def score_head(query: Tensor, table: GpuPageTable, layer: int, kv_head: int, start: int, out: Tensor) -> None:
    """Dot products of query [t, head_dim], any float dtype, with a layer's keys of one kv head at positions start, start + 1,
    ..., read where they lie and accumulated in float32, to out [t, n], which is contiguous float32."""
    from tscli_kernels.cuda import head_scoring

    first, end = table.pages_of(start, start + out.shape[1])
    sizes = table.scales
    head_scoring.score_head(
        query,
        table.keys.segments[0],
        table.keys.of(layer, kv_head, first, end),
        table.starts[first : end + 1],
        start,
        out,
        page_size=table.page_size,
        scale=None if sizes is None else (sizes.segments[0], sizes.of(layer, kv_head, first, end)),
    )


def _are_alike(pages: Sequence[Tensor]) -> bool:
    """Whether they lie on one GPU, each layer in one piece, and are of one dtype and shape but for their number."""
    return all(
        part.is_cuda
        and part.device == pages[0].device
        and part.dtype == pages[0].dtype
        and part.shape[2:] == pages[0].shape[2:]
        and part[0].is_contiguous()
        for part in pages
    )


def _within(used: Sequence[int]) -> Any:
    """0, 1, ... for the pages of each segment."""
    counts = np.array(used, np.int64)
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
