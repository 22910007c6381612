"""Attention of a few queries over selected rows of the pages and fresh rows behind them, keys rotated as they are read."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from tscli_kernels.cuda.scoring import dot, padded

NUM_WARPS = 8
SPLIT = 512  # rows of keys of a program of a single step


@triton.jit
def attend_kernel(
    query_ptr, key_ptr, value_ptr, new_key_ptr, new_value_ptr, rows_ptr, cos_ptr, sin_ptr, out_ptr, lse_ptr,
    num_queries, num_fresh, num_selected, kv_heads, page_size, scaling, softcap, split,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, ROTARY: tl.constexpr, HALF: tl.constexpr, REST: tl.constexpr,
    DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, CAPPED: tl.constexpr,
    WIDEN: tl.constexpr,
):  # fmt: skip
    """Rows [start, start + split) of the selected rows and the fresh ones, the last of which are the queries' own."""
    kv, block, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = block * ROWS + tl.arange(0, ROWS)
    t, head = row // GROUP, kv * GROUP + row % GROUP
    asks = t < num_queries
    half, rest, dim = tl.arange(0, HALF), tl.arange(0, REST), tl.arange(0, DIM)
    second, tail = ROTARY // 2 + half, ROTARY + rest
    turning, staying, wide = (half < ROTARY // 2)[None, :], (rest < HEAD_DIM - ROTARY)[None, :], (dim < HEAD_DIM)[None, :]
    base = query_ptr + (head.to(tl.int64) * num_queries + t)[:, None] * HEAD_DIM
    q_rest = tl.load(base + tail[None, :], mask=asks[:, None] & staying, other=0.0)
    kind = q_rest.dtype
    q_first = tl.load(base + half[None, :], mask=asks[:, None] & turning, other=0.0)
    q_second = tl.load(base + second[None, :], mask=asks[:, None] & turning, other=0.0)
    last = num_selected + num_fresh
    own = last - num_queries + t
    q_first, q_second = _turn(q_first, q_second, cos_ptr, sin_ptr, own, half, asks[:, None] & turning, ROTARY)
    highest = tl.full([ROWS], float("-inf"), dtype=tl.float32)
    total = tl.zeros([ROWS], dtype=tl.float32)
    out = tl.zeros([ROWS, DIM], dtype=tl.float32)
    stop = tl.minimum(last, (part + 1) * split)
    for start in range(part * split, stop, BLOCK):
        s = start + tl.arange(0, BLOCK)
        inside = (s < last)[:, None]
        position = tl.load(rows_ptr + s, mask=s < num_selected, other=0)
        cached = ((position // page_size * kv_heads + kv) * page_size + position % page_size) * HEAD_DIM
        fresh = (kv.to(tl.int64) * num_fresh + s - num_selected) * HEAD_DIM
        key_row = tl.where(s < num_selected, key_ptr + cached, new_key_ptr + fresh)[:, None]
        value_row = tl.where(s < num_selected, value_ptr + cached, new_value_ptr + fresh)[:, None]
        k_first = tl.load(key_row + half[None, :], mask=inside & turning, other=0.0)
        k_second = tl.load(key_row + second[None, :], mask=inside & turning, other=0.0)
        k_first, k_second = _turn(k_first, k_second, cos_ptr, sin_ptr, s, half, inside & turning, ROTARY)
        scores = dot(q_first, tl.trans(k_first), WIDEN) + dot(q_second, tl.trans(k_second), WIDEN)
        if HEAD_DIM > ROTARY:
            k_rest = tl.load(key_row + tail[None, :], mask=inside & staying, other=0.0)
            scores += dot(q_rest, tl.trans(k_rest), WIDEN)
        scores *= scaling
        if CAPPED:
            scores = softcap * (2.0 * tl.sigmoid(2.0 * scores / softcap) - 1.0)  # tanh
        seen = asks[:, None] & (s < stop)[None, :] & (s[None, :] <= own[:, None])
        scores = tl.where(seen, scores, float("-inf"))
        top = tl.maximum(highest, tl.max(scores, axis=1))
        finite = tl.where(top == float("-inf"), 0.0, top)
        weights, shrink = tl.exp(scores - finite[:, None]), tl.exp(highest - finite)
        value = tl.load(value_row + dim[None, :], mask=inside & wide, other=0.0)
        total = total * shrink + tl.sum(weights, axis=1)
        out = out * shrink[:, None] + dot(weights.to(kind), value, WIDEN)
        highest = top
    place = (part * kv_heads * GROUP + head).to(tl.int64) * num_queries + t
    divisor = tl.where(total == 0.0, 1.0, total)
    tl.store(out_ptr + place[:, None] * HEAD_DIM + dim[None, :], out / divisor[:, None], mask=asks[:, None] & wide)
    tl.store(lse_ptr + place, highest + tl.log(divisor), mask=asks)


@triton.jit
def _turn(first, second, cos_ptr, sin_ptr, position, half, mask, ROTARY: tl.constexpr):
    """Rotate both halves of rows to their positions, in float32; the tables hold each angle twice."""
    angle = position[:, None] * ROTARY + half[None, :]
    cos, sin = tl.load(cos_ptr + angle, mask=mask, other=0.0), tl.load(sin_ptr + angle, mask=mask, other=0.0)
    a, b = first.to(tl.float32), second.to(tl.float32)
    return (a * cos - b * sin).to(first.dtype), (b * cos + a * sin).to(first.dtype)


@triton.jit
def combine_kernel(
    parts_ptr, lse_ptr, out_ptr, out_lse_ptr, rows, PARTS: tl.constexpr, HEAD_DIM: tl.constexpr, DIM: tl.constexpr
):
    """One row's softmax over all parts from those of the parts; parts [parts, rows, head_dim], lse [parts, rows]."""
    row, dim = tl.program_id(0).to(tl.int64), tl.arange(0, DIM)
    highest = float("-inf")
    for part in range(PARTS):
        highest = tl.maximum(highest, tl.load(lse_ptr + part * rows + row))
    base = tl.where(highest == float("-inf"), 0.0, highest)
    total, out = 0.0, tl.zeros([DIM], dtype=tl.float32)
    for part in range(PARTS):
        weight = tl.exp(tl.load(lse_ptr + part * rows + row) - base)
        total += weight
        out += weight * tl.load(parts_ptr + (part * rows + row) * HEAD_DIM + dim, mask=dim < HEAD_DIM, other=0.0)
    divisor = tl.where(total == 0.0, 1.0, total)
    tl.store(out_ptr + row * HEAD_DIM + dim, (out / divisor).to(out_ptr.dtype.element_ty), mask=dim < HEAD_DIM)
    tl.store(out_lse_ptr + row, base + tl.log(divisor))


def attend_selected(
    query: Tensor, key_pages: Tensor, value_pages: Tensor, rows: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor,
    *, scaling: float, softcap: float | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Softmax attention of a chunk over selected cached rows and, causally, over fresh ones, at compact positions.

    Args:
        query: [q_heads, t, head_dim]; key, value: [kv_heads, f, head_dim], f >= t, the last t of them the queries' own; all
            unrotated, contiguous and of one dtype.
        key_pages, value_pages: [pages, kv_heads, page_size, head_dim], contiguous, the same dtype.
        rows: int64 [s], slots counted through all pages, ascending.
        cos, sin: [s + f, rotary_dim] float32, contiguous, of positions 0, 1, ...; halves are rotated, what is past rotary_dim
            is not.
        scaling: factor on the scores; softcap: c * tanh(score / c).

    Returns: [q_heads, t, head_dim] in the dtype of query, and the log-sum-exp [q_heads, t] float32.
    """
    q_heads, t, head_dim = query.shape
    _, kv_heads, page_size, _ = key_pages.shape
    group, rotary, total = q_heads // kv_heads, cos.shape[1], rows.shape[0] + key.shape[1]
    block, most = tiles(head_dim, query.element_size())
    tile = min(most, max(16, triton.next_power_of_2(t * group)))
    split = SPLIT if t * group <= 16 else triton.cdiv(total, block) * block
    num_parts = triton.cdiv(total, split)
    parts = torch.empty(num_parts, q_heads, t, head_dim, dtype=torch.float32, device=query.device)
    lse = torch.empty(num_parts, q_heads, t, dtype=torch.float32, device=query.device)
    attend_kernel[(kv_heads, triton.cdiv(t * group, tile), num_parts)](
        query, key_pages, value_pages, key, value, rows, cos, sin, parts, lse,
        t, key.shape[1], rows.shape[0], kv_heads, page_size, scaling, softcap or 1.0, split,
        GROUP=group, HEAD_DIM=head_dim, ROTARY=rotary, HALF=padded(rotary // 2), REST=padded(max(1, head_dim - rotary)),
        DIM=padded(head_dim), BLOCK=block, ROWS=tile, CAPPED=softcap is not None,
        WIDEN=not query.is_cuda, num_warps=NUM_WARPS, num_stages=1,
    )  # fmt: skip
    out, out_lse = torch.empty_like(query), torch.empty(q_heads, t, dtype=torch.float32, device=query.device)
    combine_kernel[(q_heads * t,)](
        parts, lse, out, out_lse, q_heads * t, PARTS=num_parts, HEAD_DIM=head_dim, DIM=padded(head_dim)
    )
    return out, out_lse


def tiles(head_dim: int, element_bytes: int) -> tuple[int, int]:
    """Rows of keys at a time, and rows of (query, head of the group) of a program: these must fit registers (`aot_compile`)."""
    row_bytes = head_dim * max(2, element_bytes)
    return (32, 64) if row_bytes <= 128 else (16, 32) if row_bytes <= 256 else (16, 16)
