"""Soft votes of a few heads' queries on the int8 keys of one kv head, without scores that stand in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli_kernels.compiled import has_byte_products, use_compiled
from tscli_kernels.quantised import PAGE_SCALE


@dataclass(frozen=True)
class KeyTable:
    """Where int8 keys lie: parts of rows of head_dim bytes, one behind the other.

    addresses: int64 [parts], of the first row of each. starts: int64 [parts + 1], the first position of each; the end.
    scales: [n]. The parts, which `kept` holds, must not change.
    """

    addresses: Any
    starts: Any
    head_dim: int
    scales: Tensor
    kept: tuple[Tensor, ...]

    @classmethod
    def of_parts(cls, parts: Sequence[Tensor], scales: Tensor) -> KeyTable | None:
        """The table of these parts [..., rows, head_dim], all rows of the last two dimensions contiguous, and of their rows'
        scales [n] bfloat16; None where the compiled loops do not take them, or nothing here multiplies bytes fast."""
        kind, width = scales.dtype, parts[0].shape[-1]
        if kind != PAGE_SCALE or width % 4 or not all(_is_of_bytes(part) for part in parts):
            return None
        if not use_compiled(parts[0], scales.shape[0]) or not has_byte_products():
            return None
        addresses, counts = list[int](), list[int]()
        for part in parts:
            blocks = [part] if part.dim() == 2 else part.unbind(0)
            addresses += [block.data_ptr() for block in blocks]
            counts += [block.shape[0] for block in blocks]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(counts, np.int64))])
        return cls(np.array(addresses, np.int64), starts, width, scales.contiguous(), tuple(parts))


def _is_of_bytes(part: Tensor) -> bool:
    """Whether these are int8 keys on the CPU whose rows lie one behind the other."""
    return part.dtype == torch.int8 and part.device.type == "cpu" and part.stride()[-2:] == (part.shape[-1], 1)


def vote_on_keys(query: Tensor, table: KeyTable, out: Tensor, rows: Sequence[int]) -> None:
    """Each head's soft votes on all keys of a table (paper, Eq. 7), to one of the rows of out.

    Queries are rounded to 16 bits. A block of 512 keys that together would get less than 2 ** -24 of a query's votes gets none
    of them.

    Args:
        query: float32 [heads, t, head_dim]; a head's votes are its queries' softmaxes over the keys, summed up.
        out: float32 [m, n]; rows: of each head.
    """
    from tscli_kernels.cpu import key_votes

    key_votes.vote_on_keys(query, table, out, rows)
