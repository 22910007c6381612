"""Soft votes on int8 keys on the CPU: a block of keys at a time is scored by sums of products of bytes, and twice.

The first time gives each query's greatest score in each block and what its softmax sums up to, the second its votes. To score a
block again takes less time than to write all scores to memory and read them; and what gets next to no votes is not scored
again. A query has 16 bits, in two bytes whose sums are put together, as in `block_products`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import carray, prange, types
from numba.extending import intrinsic
from torch import Tensor

from tscli_kernels.cpu.byte_products import I32, I64, LANES, add_products
from tscli_kernels.cpu.loops import compiled, inlined, number, plain, pointer, use_torch_threads
from tscli_kernels.cpu.voting import exponential, highest
from tscli_kernels.key_votes import KeyTable

BLOCK = 512  # keys; with all that belongs to them they stay in a core's cache
PITCH = BLOCK + 16  # columns of a block, so that its rows do not fall on each other in the cache
HIGHEST = 127 * 256 + 127  # magnitude of a query's code: two signed bytes
NEGLIGIBLE = 2.0**-24  # of a query's votes: what a float32 below 1 is exact to
FLIPPED = np.int32(-2139062144)  # four bytes of 128: int8 keys become uint8, 128 more than they were
LIKE = np.empty(0, np.int32)  # tells a loop what addresses are of


def vote_on_keys(query: Tensor, table: KeyTable, out: Tensor, rows: Sequence[int]) -> None:
    """As `key_votes.vote_on_keys`."""
    use_torch_threads()
    asked = query.flatten(0, 1)
    step = asked.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / HIGHEST
    codes = (asked / step[:, None]).round().to(torch.int32)
    lower = (codes + 128) % 256 - 128
    halves = torch.stack([(codes - lower) // 256, lower], dim=1).to(torch.int8)  # [queries, 2, head_dim]
    begin = -128 * halves.sum(dim=2, dtype=torch.int32)
    owners = np.repeat(np.array(rows, np.int64), query.shape[1])
    coded = (halves.view(torch.int32).numpy(), begin.numpy(), step.numpy(), owners)
    _vote(table.addresses, table.starts, plain(table.scales), *coded, np.array(rows, np.int64), LIKE, out.numpy())


@compiled
def _vote(addresses, starts, scales, codes, begin, step, owners, rows, like, out):
    n, queries = scales.shape[0], codes.shape[0]
    blocks = (n + BLOCK - 1) // BLOCK
    tops, sums = np.empty((blocks, queries), np.float32), np.empty((blocks, queries), np.float32)
    for block in prange(blocks):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        _sum_up(addresses, starts, scales, like, low, high, codes, begin, step, tops[block], sums[block])
    wholes = np.empty(queries, np.float32)  # logarithms of what each query's softmax sums up to
    for asked in range(queries):
        top, whole = tops[:, asked].max(), 0.0
        for block in range(blocks):
            whole += sums[block, asked] * math.exp(tops[block, asked] - top)
        wholes[asked] = top + math.log(whole)
    for block in prange(blocks):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        for row in rows:
            out[row, low:high] = 0
        _add_votes(
            addresses, starts, scales, like, low, high, codes, begin, step, tops[block], sums[block], wholes, owners, out
        )


@inlined
def _sum_up(addresses, starts, scales, like, low, high, codes, begin, step, tops, sums):
    """The greatest score of each query among keys [low, high), and what e to the power of the scores less it sums up to."""
    keys, sizes, halves, found = _room(codes.shape[2])
    _read(addresses, starts, scales, like, low, high, keys, sizes)
    for asked in range(codes.shape[0]):
        _score(keys, sizes, codes[asked], begin[asked], step[asked], high - low, halves, found)
        top, total = highest(found[: high - low]), np.float32(0)
        for place in range(high - low):
            total += exponential(found[place] - top)
        tops[asked], sums[asked] = top, total


@inlined
def _add_votes(addresses, starts, scales, like, low, high, codes, begin, step, tops, sums, wholes, owners, out):
    """The votes of each query, to its head's row, on keys [low, high), of which `_sum_up` has told."""
    keys, sizes, halves, found = _room(codes.shape[2])
    is_read = False
    for asked in range(codes.shape[0]):
        whole = wholes[asked]
        if sums[asked] * exponential(tops[asked] - whole) < NEGLIGIBLE:
            continue
        if not is_read:
            _read(addresses, starts, scales, like, low, high, keys, sizes)
            is_read = True
        _score(keys, sizes, codes[asked], begin[asked], step[asked], high - low, halves, found)
        votes = out[owners[asked], low:high]
        for place in range(high - low):
            votes[place] += exponential(found[place] - whole)


@inlined
def _room(groups):
    """Memory for a block: its keys, their scales, both halves of a query's sums, its scores."""
    keys, halves = np.empty((groups, PITCH), np.int32), np.empty((2, BLOCK), np.int32)
    return keys, np.empty(BLOCK, np.float32), halves, np.empty(BLOCK, np.float32)


@inlined
def _score(keys, sizes, codes, begin, step, count, halves, found):
    """Scores of a query, to found, of the first `count` keys of a block [groups, PITCH], whose scales are sizes."""
    upper, lower = halves[0], halves[1]
    add_products(keys, 0, count, codes[0], codes[1], begin[0], begin[1], upper, lower)
    for place in range(count):
        whole = np.float32(upper[place]) * np.float32(256) + np.float32(lower[place])
        found[place] = whole * (step * sizes[place])


@inlined
def _read(addresses, starts, scales, like, low, high, keys, sizes):
    """Keys [low, high), four bytes in an int32, as uint8, to keys [groups, PITCH]; their scales to sizes."""
    groups = keys.shape[0]
    part, at = np.searchsorted(starts, low, side="right") - 1, low
    while at < high:
        if at == starts[part + 1]:
            part += 1
            continue
        count = min(high, starts[part + 1]) - at
        _turn(addresses[part] + (at - starts[part]) * groups * 4, like, count, keys[:, at - low : at - low + count])
        at += count
    for place in range(high - low):
        sizes[place] = number(scales[low + place])


@inlined
def _turn(address, like, count, out):
    """`count` rows of int32 at an address to the columns of out [groups, count], as uint8."""
    groups = out.shape[0]
    rows = carray(pointer(address, like), (count, groups))
    squares, wide = count - count % LANES, groups - groups % LANES
    for first in range(0, squares, LANES):
        for group in range(0, wide, LANES):
            target = out.ctypes.data + group * out.strides[0] + 4 * first
            _turn_square(address + 4 * (first * groups + group), 4 * groups, target, out.strides[0])
    for place in range(count):
        for group in range(wide if place < squares else 0, groups):
            out[group, place] = rows[place, group] ^ FLIPPED


@intrinsic
def _turn_square(_: Any, source: Any, apart: Any, target: Any, pitch: Any) -> Any:
    """LANES rows of LANES int32 at an address, so many bytes apart, to the columns of others, as uint8.

    Halves change places at distances 1, 2, 4, ..., each time between two rows, so that all stays in registers.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(I32, LANES)

        def at(base: Any, step: Any, row: int) -> Any:
            return builder.inttoptr(builder.add(base, builder.mul(step, ir.Constant(I64, row))), vector.as_pointer())

        def taken(one: Any, other: Any, lanes: list[int]) -> Any:
            return builder.shuffle_vector(one, other, ir.Constant(vector, lanes))

        rows = [builder.load(at(args[0], args[1], row), align=1) for row in range(LANES)]
        distance = 1
        while distance < LANES:
            first = [LANES + (lane ^ distance) if lane & distance else lane for lane in range(LANES)]
            second = [LANES + lane if lane & distance else lane ^ distance for lane in range(LANES)]
            for row in range(LANES):
                if not row & distance:
                    one, other = rows[row], rows[row | distance]
                    rows[row], rows[row | distance] = taken(one, other, first), taken(one, other, second)
            distance *= 2
        flipped = ir.Constant(vector, [int(FLIPPED)] * LANES)
        for row, value in enumerate(rows):
            builder.store(builder.xor(value, flipped), at(args[2], args[3], row), align=1)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), generate
