"""Dot products of a few queries with the keys of one kv head, read from pages that lie anywhere: what retrieval heads scan."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from tscli_kernels.cuda.scoring import ROWS, block_of, num_warps, padded, products
from tscli_kernels.gpu_page_table import UNIT


@triton.jit(  # one kernel for all scans: others would be compiled while a question waits
    do_not_specialize=["num_rows", "num_slots", "start", "num_tokens"], do_not_specialize_on_alignment=["start_ptr"]
)
def score_head_kernel(
    query_ptr, pages_ptr, scale_ptr, offset_ptr, scale_offset_ptr, start_ptr, out_ptr,
    num_rows, num_slots, start, num_tokens, page_size,
    HEAD_DIM: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, UNIT: tl.constexpr,
    WIDEN: tl.constexpr, SCALED: tl.constexpr,
):  # fmt: skip
    """ROWS queries and a block of slots, of which those behind a page's last token and outside [start, start + num_tokens) are
    left out. Programs of the same block are neighbours, so that its keys come from memory once."""
    row_blocks = tl.cdiv(num_rows, ROWS)
    block, row = tl.program_id(0) // row_blocks, tl.program_id(0) % row_blocks * ROWS + tl.arange(0, ROWS)
    at, dim = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, DIM)
    asks, there, wide = row < num_rows, at < num_slots, (dim < HEAD_DIM)[None, :]
    page, slot = at // page_size, at % page_size
    position = tl.load(start_ptr + page, mask=there, other=0) + slot
    place = position - start
    inside = there & (position < tl.load(start_ptr + page + 1, mask=there, other=0)) & (place >= 0) & (place < num_tokens)
    query = tl.load(query_ptr + row[:, None] * HEAD_DIM + dim[None, :], mask=asks[:, None] & wide, other=0.0)
    key_at = tl.multiple_of(tl.load(offset_ptr + page, mask=there, other=0), [UNIT]) + slot * HEAD_DIM
    key = tl.load(pages_ptr + key_at[:, None] + dim[None, :], mask=inside[:, None] & wide, other=0.0)
    scores = products(query, key, WIDEN, SCALED, True)
    if SCALED:
        scale_at = tl.load(scale_offset_ptr + page, mask=there, other=0) + slot
        scores *= tl.load(scale_ptr + scale_at, mask=inside, other=0.0).to(tl.float32)[None, :]
    to = out_ptr + row.to(tl.int64)[:, None] * num_tokens + place[None, :]
    tl.store(to, scores, mask=asks[:, None] & inside[None, :])


def score_head(
    query: Tensor,
    origin: Tensor,
    offsets: Tensor,
    starts: Tensor,
    start: int,
    out: Tensor,
    *,
    page_size: int,
    scale: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Scores of keys at positions start, start + 1, ..., to out [t, n], contiguous float32.

    query: [t, head_dim], any float dtype. origin: what offsets count from, of the keys' dtype. offsets: int64 [pages], elements
    to one kv head's rows of each page, multiples of UNIT. starts: int64 [pages + 1], the position of each page's first token;
    the end. scale: of int8 keys, the same two of their scales.
    """
    head_dim, (num_rows, num_tokens) = query.shape[1], out.shape
    num_slots, block = offsets.shape[0] * page_size, block_of(head_dim)
    sizes, size_offsets = (origin, offsets) if scale is None else scale  # a kernel without scales reads none
    score_head_kernel[(triton.cdiv(num_slots, block) * triton.cdiv(num_rows, ROWS),)](
        query.contiguous(), origin, sizes, offsets, size_offsets, starts, out,
        num_rows, num_slots, start, num_tokens, page_size,
        HEAD_DIM=head_dim, DIM=padded(head_dim), BLOCK=block, ROWS=ROWS, UNIT=UNIT,
        WIDEN=not query.is_cuda, SCALED=scale is not None, num_warps=num_warps(head_dim, origin.element_size()),
    )  # fmt: skip
