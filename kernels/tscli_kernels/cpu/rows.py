"""Rows of pages on the CPU, scored or copied from where they lie, through a table of the segments' addresses."""

from __future__ import annotations

import numpy as np
import torch
from numba import carray, prange
from torch import Tensor

from tscli_kernels.cpu.loops import compiled, copy_bytes, inlined, number, plain, pointer, prefetch, use_torch_threads
from tscli_kernels.page_table import PageTable

BLOCK = 256  # rows that a thread takes at a time
TOKENS = 2048  # neighbouring ones
BITS = np.empty(0, np.uint16)  # tells a loop of what kind scales are
AHEAD, LINE = 16, 64  # rows that are read ahead of their use, in lines of so many bytes


def score_table(query: Tensor, table: PageTable, stop: int, out: Tensor) -> None:
    """As `page_table.score_table`."""
    use_torch_threads()
    grouped = query.float().reshape(table.kv_heads, -1, table.head_dim).contiguous()
    scales = table.scales.addresses if table.scales else np.empty(0, np.int64)
    where = (table.addresses, scales, table.starts, table.page_size)
    _score_table(grouped.numpy(), *where, _like(table), BITS, stop, out.numpy())


def score_rows(query: Tensor, table: PageTable, positions: Tensor) -> Tensor:
    """As `page_table.score_rows`."""
    use_torch_threads()
    grouped = query.float().reshape(table.kv_heads, -1, table.head_dim).contiguous()
    out = torch.empty(query.shape[0], positions.shape[0])
    where = positions.contiguous().numpy()
    _score_rows(grouped.numpy(), table.addresses, table.starts, table.page_size, _like(table), where, out.numpy())
    if table.scales is not None:
        sizes = torch.empty(table.kv_heads, positions.shape[0], 1, dtype=torch.bfloat16)
        copy_rows(table.scales, positions, sizes)
        out.unflatten(0, (table.kv_heads, -1)).mul_(sizes[:, None, :, 0].float())
    return out


def copy_rows(table: PageTable, positions: Tensor, out: Tensor) -> None:
    """As `page_table.copy_rows`."""
    use_torch_threads()
    where = positions.contiguous().numpy()
    _copy_rows(table.addresses, table.starts, table.page_size, where, plain(out))


def _like(table: PageTable):
    return np.empty(0, {torch.bfloat16: np.uint16, torch.float32: np.float32, torch.int8: np.int8}[table.dtype])


@inlined
def _score_tile(query, keys, out):
    """Dot products of query [group, head_dim] with keys [n, head_dim]; out [group, n]."""
    group, head_dim = query.shape
    for member in range(0, group, 2):  # two at a time: each number is converted once for both
        other = min(member + 1, group - 1)
        first, second = query[member], query[other]
        mine, others = out[member], out[other]
        for place in range(keys.shape[0]):
            key = keys[place]
            total, another = np.float32(0), np.float32(0)
            for i in range(head_dim):
                x = number(key[i])
                total += first[i] * x
                another += second[i] * x
            mine[place] = total
            others[place] = another


@compiled
def _score_table(query, addresses, scales, starts, page_size, like, bits, n, out):
    kv_heads, group, head_dim = query.shape
    for block in prange((n + TOKENS - 1) // TOKENS):
        at, stop = block * TOKENS, min(n, (block + 1) * TOKENS)
        segment = np.searchsorted(starts, at, side="right") - 1
        while at < stop:
            if at == starts[segment + 1]:
                segment += 1
                continue
            page = (at - starts[segment]) // page_size
            slot = at - starts[segment] - page * page_size
            count = min(page_size - slot, min(stop, starts[segment + 1]) - at)
            pages = carray(pointer(addresses[segment], like), (page + 1, kv_heads, page_size, head_dim))
            for head in range(kv_heads):
                mine = out[head * group : (head + 1) * group, at : at + count]
                _score_tile(query[head], pages[page, head, slot : slot + count], mine)
            if scales.shape[0]:
                sizes = carray(pointer(scales[segment], bits), (page + 1, kv_heads, page_size))
                for row in range(kv_heads * group):
                    for place in range(count):
                        out[row, at + place] *= number(sizes[page, row // group, slot + place])
            at += count


@compiled
def _score_rows(query, addresses, starts, page_size, like, positions, out):
    kv_heads, group, head_dim = query.shape
    n = positions.shape[0]
    for block in prange((n + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        kept = np.empty((kv_heads, high - low, head_dim), like.dtype)
        _fetch(addresses, starts, page_size, positions[low:high], kept)
        for head in range(kv_heads):
            _score_tile(query[head], kept[head], out[head * group : (head + 1) * group, low:high])


@compiled
def _copy_rows(addresses, starts, page_size, positions, out):
    n = positions.shape[0]
    for block in prange((n + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        _fetch(addresses, starts, page_size, positions[low:high], out[:, low:high])


@inlined
def _fetch(addresses, starts, page_size, positions, out):
    """Copy rows to out [kv_heads, n, head_dim]; those further on are on their way meanwhile."""
    kv_heads, n, head_dim = out.shape
    size = head_dim * out.itemsize
    places = np.empty(n, np.int64)  # addresses of the rows, in the first kv head
    segment = np.searchsorted(starts, positions[0], side="right") - 1
    for place in range(n):
        while positions[place] >= starts[segment + 1]:
            segment += 1
        local = positions[place] - starts[segment]
        page = local // page_size
        places[place] = addresses[segment] + (page * kv_heads * page_size + local - page * page_size) * size
    for place in range(n):
        ahead = places[min(n - 1, place + AHEAD)]
        for head in range(kv_heads):
            for line in range(0, size, LINE):
                prefetch(ahead + head * page_size * size + line)
        for head in range(kv_heads):
            copy_bytes(out[head, place].ctypes.data, places[place] + head * page_size * size, size)
