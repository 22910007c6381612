"""Dot products with all keys, straight from the pages, and log-sum-exp of each block on the way; and with their sketch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from tscli_kernels.sketch_codes import ZERO

ROWS = 16  # of a tensor core's tile: a group of query heads is padded to it


@triton.jit
def dot(a, b, WIDEN: tl.constexpr):
    """Product of two tiles, accumulated in float32; WIDEN: in float32 throughout (Triton's interpreter has no bfloat16 dot)."""
    if WIDEN:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def products(query, key, WIDEN: tl.constexpr, CODES: tl.constexpr, WHOLE: tl.constexpr):
    """Dot products [rows, tokens] of a tile of queries and one of keys, which are 8-bit codes where CODES says so; WHOLE: also
    with what the query loses in the keys' dtype, for scores go into an exponent, unscaled."""
    if CODES:
        key = key.to(tl.float32 if WIDEN else tl.bfloat16)  # which holds all 8-bit integers
    high = query.to(key.dtype)
    scores = dot(high, tl.trans(key), WIDEN)
    if WHOLE and query.dtype != key.dtype:
        scores += dot((query.to(tl.float32) - high.to(tl.float32)).to(key.dtype), tl.trans(key), WIDEN)
    return scores


@triton.jit
def _store_scores(scores, out_ptr, max_ptr, sum_ptr, head, heads_in, at, n, row_stride, block, blocks):
    """Write a tile of scores [rows, tokens] and each row's maximum and sum of exponentials over the block."""
    inside = at < n
    mask = heads_in[:, None] & inside[None, :]
    tl.store(out_ptr + head.to(tl.int64)[:, None] * row_stride + at[None, :], scores, mask=mask)
    scores = tl.where(inside[None, :], scores, float("-inf"))
    highest = tl.max(scores, axis=1)
    base = tl.where(highest == float("-inf"), 0.0, highest)
    total = tl.sum(tl.exp(scores - base[:, None]), axis=1)
    tl.store(max_ptr + head * blocks + block, highest, mask=heads_in)
    tl.store(sum_ptr + head * blocks + block, total, mask=heads_in)


@triton.jit
def score_kernel(
    query_ptr, pages_ptr, scale_ptr, table_ptr, out_ptr, max_ptr, sum_ptr, n, row_stride, blocks, kv_heads, page_size,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
    WIDEN: tl.constexpr, SCALED: tl.constexpr,
):  # fmt: skip
    block, kv = tl.program_id(0), tl.program_id(1)
    at = block * BLOCK + tl.arange(0, BLOCK)
    dim, row = tl.arange(0, DIM), tl.arange(0, ROWS)
    heads_in, head = row < GROUP, kv * GROUP + row
    query = tl.load(
        query_ptr + head[:, None] * HEAD_DIM + dim[None, :], mask=heads_in[:, None] & (dim < HEAD_DIM)[None, :], other=0.0
    )
    page = tl.load(table_ptr + at // page_size, mask=at < n, other=0).to(tl.int64)  # 4M slots overflow 32 bits
    place = (page * kv_heads + kv) * page_size + at % page_size
    key = tl.load(
        pages_ptr + place[:, None] * HEAD_DIM + dim[None, :], mask=(at < n)[:, None] & (dim < HEAD_DIM)[None, :], other=0.0
    )
    # Wide rows of codes, which are rounded more than a query is, leave no registers for the rest of it.
    scores = products(query, key, WIDEN, SCALED, not (SCALED and DIM > 128))
    if SCALED:
        scores *= tl.load(scale_ptr + place, mask=at < n, other=0.0).to(tl.float32)[None, :]
    _store_scores(scores, out_ptr, max_ptr, sum_ptr, head, heads_in, at, n, row_stride, block, blocks)


@triton.jit
def sketch_kernel(
    query_ptr, scale_ptr, codes_ptr, out_ptr, n, row_stride, head_stride, plane_stride,
    GROUP: tl.constexpr, RANK: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, WIDEN: tl.constexpr,
    ZERO: tl.constexpr,
):  # fmt: skip
    block, kv = tl.program_id(0), tl.program_id(1)
    at = block * BLOCK + tl.arange(0, BLOCK)
    dim, row = tl.arange(0, DIM), tl.arange(0, ROWS)
    heads_in, head = row < GROUP, kv * GROUP + row
    query = tl.load(query_ptr + head[:, None] * RANK + dim[None, :], mask=heads_in[:, None] & (dim < RANK)[None, :], other=0)
    place = kv.to(tl.int64) * head_stride + (dim // 4).to(tl.int64) * plane_stride + dim % 4
    inside = (dim < RANK)[:, None] & (at < n)[None, :]
    key = tl.load(codes_ptr + place[:, None] + at.to(tl.int64)[None, :] * 4, mask=inside, other=ZERO).to(tl.float32) - ZERO
    scale = tl.load(scale_ptr + head, mask=heads_in, other=0.0)
    narrow = tl.float32 if WIDEN else tl.bfloat16  # which holds all codes
    scores = dot(query.to(narrow), key.to(narrow), WIDEN) * scale[:, None]
    mask = heads_in[:, None] & (at < n)[None, :]
    tl.store(out_ptr + head.to(tl.int64)[:, None] * row_stride + at[None, :], scores, mask=mask)


def score_pages(
    query: Tensor,
    key_pages: Tensor,
    num_tokens: int,
    table: Tensor | None = None,
    out: Tensor | None = None,
    scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scores [q_heads, num_tokens] float32 and each head's log-sum-exp [q_heads].

    query: [q_heads, head_dim]; key_pages: [pages, kv_heads, page_size, head_dim] contiguous, any float dtype, or int8 with
    `scale` [pages, kv_heads, page_size]; table: int32, the page that holds each run of page_size tokens, None where they
    stand in order; out: to be written to, its last axis contiguous.
    """
    pages, kv_heads, page_size, head_dim = key_pages.shape
    group = query.shape[0] // kv_heads
    if table is None:
        table = torch.arange(pages, dtype=torch.int32, device=query.device)
    if out is None:
        out = torch.empty(query.shape[0], num_tokens, dtype=torch.float32, device=query.device)
    sizes = key_pages if scale is None else scale.contiguous()  # a kernel without scales reads none
    block = block_of(head_dim)
    blocks = triton.cdiv(num_tokens, block)
    highest, total = query.new_empty(2, query.shape[0], blocks, dtype=torch.float32)
    query = query.contiguous()
    score_kernel[(blocks, kv_heads)](
        query, key_pages, sizes, table, out, highest, total, num_tokens, out.stride(0), blocks, kv_heads, page_size,
        GROUP=group, HEAD_DIM=head_dim, DIM=padded(head_dim), BLOCK=block, ROWS=max(ROWS, triton.next_power_of_2(group)),
        WIDEN=not query.is_cuda, SCALED=scale is not None, num_warps=num_warps(head_dim, key_pages.element_size()),
    )  # fmt: skip
    return out, log_sum_exp(highest, total)


def scan_sketch(codes: Tensor, scale: Tensor, key_codes: Tensor) -> Tensor:
    """Approximate scores [q_heads, n] float32 of a query and of keys as `encode_sketch` codes them.

    codes: int8 [kv_heads, group, rank]; scale: float32 [kv_heads, group]; key_codes: uint8 [kv_heads, rank / 4, n, 4], its last
    two axes contiguous.
    """
    kv_heads, group, rank = codes.shape
    num_tokens = key_codes.shape[2]
    out = torch.empty(kv_heads * group, num_tokens, dtype=torch.float32, device=codes.device)
    block = block_of(rank)
    sketch_kernel[(triton.cdiv(num_tokens, block), kv_heads)](
        codes.contiguous(), scale.contiguous(), key_codes, out,
        num_tokens, out.stride(0), key_codes.stride(0), key_codes.stride(1),
        GROUP=group, RANK=rank, DIM=padded(rank), BLOCK=block, ROWS=max(ROWS, triton.next_power_of_2(group)),
        WIDEN=not codes.is_cuda, ZERO=ZERO,
    )  # fmt: skip
    return out


def block_of(head_dim: int) -> int:
    """Tokens of a program, so that its tile fits into registers (`aot_compile` tells)."""
    return 128 if head_dim <= 64 else 64 if head_dim <= 128 else 32


def num_warps(head_dim: int, key_bytes: int) -> int:
    """Warps of a program, for the same reason; key_bytes: of a key's element."""
    return 4 if head_dim <= 64 and key_bytes < 4 else 8


def log_sum_exp(highest: Tensor, total: Tensor) -> Tensor:
    """Of whole rows, from the maxima and sums of their blocks [q_heads, blocks]; -inf where all scores are."""
    top = highest.amax(dim=-1, keepdim=True)
    base = top.clamp_min(torch.finfo(torch.float32).min)
    return (total * torch.exp(highest - base)).sum(dim=-1).log() + base.squeeze(-1)


def padded(dim: int) -> int:
    """A power of two that a tensor core takes."""
    return max(16, triton.next_power_of_2(dim))
