"""Reading pages: dot products of a query with all keys, and gathering of single rows.

Layout of pages: [pages, kv_heads, page_size, head_dim], of floats, or of int8 codes with a scale for each,
[pages, kv_heads, page_size].
"""

from __future__ import annotations

import torch
from torch import Tensor

from tscli_kernels.quantised import expand_rows

# Elements of one tile of keys converted to float32 at a time: it must stay in the cache, so that the conversion costs
# no pass through memory (measured: a tile of 2M elements is as fast as a bfloat16 product, one of 8M is eight times slower).
TILE_ELEMENTS = 1 << 21


def score_pages(
    query: Tensor, key_pages: Tensor, num_tokens: int, out: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """Dot products of one query per head with every cached key, accumulated and returned in float32.

    Args:
        query: [q_heads, head_dim], any float dtype; query head h belongs to kv head h // (q_heads // kv_heads).
        key_pages: [pages, kv_heads, page_size, head_dim], any float dtype, or int8 with `scale` [pages, kv_heads, page_size].
        num_tokens: how many slots of the pages are filled (at most pages * page_size).
        out: [q_heads, num_tokens] float32 to write to, such as a slice of a larger buffer.

    Returns: [q_heads, num_tokens] float32. Raises ValueError when the shapes do not fit.
    """
    pages, kv_heads, page_size, head_dim = key_pages.shape
    q_heads = query.shape[0]
    if q_heads % kv_heads or query.shape[1] != head_dim or num_tokens > pages * page_size:
        raise ValueError(f"query {tuple(query.shape)}, pages {tuple(key_pages.shape)}, {num_tokens} tokens do not fit")
    if key_pages.is_cuda and (out is None or out.stride(1) == 1):
        from tscli_kernels.cuda import scoring

        return scoring.score_pages(query, key_pages.contiguous(), num_tokens, out=out, scale=scale)[0]
    if out is None:
        out = torch.empty(q_heads, num_tokens, dtype=torch.float32, device=query.device)
    grouped = query.float().reshape(1, kv_heads, q_heads // kv_heads, head_dim)
    used = -(-num_tokens // page_size)
    step = max(1, min(used, TILE_ELEMENTS // (kv_heads * page_size * head_dim)))
    buffer = torch.empty(step, kv_heads, page_size, head_dim, dtype=torch.float32, device=query.device)
    for first in range(0, used, step):
        pages_here = key_pages[first : min(used, first + step)]
        tile = buffer[: pages_here.shape[0]].copy_(pages_here)  # one buffer for all tiles: twice as fast as new ones
        scores = torch.matmul(grouped, tile.transpose(-1, -2))  # [step, kv_heads, group, page_size]
        if scale is not None:  # on the scores: fewer than the keys' elements by head_dim
            scores *= scale[first : first + tile.shape[0], :, None].float()
        start, stop = first * page_size, min(num_tokens, (first + step) * page_size)
        flat = scores.permute(1, 2, 0, 3).reshape(q_heads, -1)  # [q_heads, step * page_size]
        out[:, start:stop] = flat[:, : stop - start]
    return out


def row_index(positions: Tensor, kv_heads: int, page_size: int) -> Tensor:
    """Where the rows at `positions` (int64 [n]) stand in pages of this shape that are flattened: int64 [kv_heads, n]."""
    page = torch.div(positions, page_size, rounding_mode="floor")
    heads = torch.arange(kv_heads, device=positions.device)[:, None]
    return (page * kv_heads + heads) * page_size + positions % page_size  # int64: no overflow at 4M slots


def take_rows(pages: Tensor, rows: Tensor, scale: Tensor | None = None) -> Tensor:
    """The rows of a `row_index` [kv_heads, n], as [kv_heads, n, head_dim] in the pages' dtype.

    scale: [pages, kv_heads, page_size] of int8 pages, whose rows are expanded to float32.
    """
    found = pages.reshape(-1, pages.shape[-1]).index_select(0, rows.reshape(-1)).view(*rows.shape, -1)
    return found if scale is None else expand_rows(found, scale.reshape(-1)[rows])
