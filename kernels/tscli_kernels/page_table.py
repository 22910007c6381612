"""Keys or values of one layer that lie in several segments' pages, read through a table of addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli_kernels.compiled import use_compiled


@dataclass(frozen=True)
class PageTable:
    """Pages [pages, kv_heads, page_size, head_dim] of segments that stand one behind the other, of one shape and dtype.

    addresses: int64 [segments], of the first page of each. starts: int64 [segments + 1], the first position of each; the end.
    scales: of int8 pages, the table of their scales as rows of one bfloat16. The segments, which `kept` holds, must not change.
    """

    addresses: Any
    starts: Any
    page_size: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    kept: tuple[Tensor, ...]
    scales: PageTable | None = None

    @classmethod
    def of_layers(cls, pages: Sequence[Tensor], counts: Sequence[int], scales: Sequence[Tensor] = ()) -> list[PageTable]:
        """The table of each layer of these pages [layers, pages, kv_heads, page_size, head_dim], so many tokens in each; none
        where the compiled loops do not take them.

        scales: [layers, pages, kv_heads, page_size] bfloat16, of int8 pages.
        """
        first = pages[0]
        alike = all(part.dtype == first.dtype and part[0].is_contiguous() and part.device == first.device for part in pages)
        if not alike or not use_compiled(first, sum(counts)) or (first.dtype == torch.int8) != bool(scales):
            return []
        beside = cls.of_layers([part[..., None] for part in scales], counts) if scales else [None] * len(first)
        _, _, kv_heads, page_size, head_dim = first.shape
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(counts, np.int64))])
        addresses = np.array([part.data_ptr() for part in pages], np.int64)
        layer_bytes = np.array([part.stride(0) * part.element_size() for part in pages], np.int64)
        return [
            cls(addresses + layer * layer_bytes, starts, page_size, kv_heads, head_dim, first.dtype, tuple(pages), own)
            for layer, own in enumerate(beside)
        ]


def score_table(query: Tensor, table: PageTable, stop: int, out: Tensor) -> None:
    """Dot products of one query per head [q_heads, head_dim] with the first `stop` keys, to out [q_heads, n >= stop], which is
    contiguous float32."""
    from tscli_kernels.cpu import rows

    rows.score_table(query, table, stop, out)


def score_rows(query: Tensor, table: PageTable, positions: Tensor) -> Tensor:
    """Dot products of one query per head [q_heads, head_dim] with the keys at ascending positions (int64 [n], below the table's
    end); float32 [q_heads, n]."""
    from tscli_kernels.cpu import rows

    return rows.score_rows(query, table, positions)


def copy_rows(table: PageTable, positions: Tensor, out: Tensor) -> None:
    """Copy the rows at ascending positions (int64 [n], below the table's end) to the first of out [kv_heads, m >= n, head_dim],
    which is contiguous and of their dtype; int8 rows as they are, without their scales."""
    from tscli_kernels.cpu import rows

    rows.copy_rows(table, positions, out)
