"""Soft votes of all heads, and exact top-k by their bits: three histograms find the k-th vote, then positions are written.

Nothing is buffered, so nothing can overflow: whatever the votes are, the set is exact. Positions come in ascending order, and
of equal votes the lower position is taken.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
BITS = (11, 11, 10)  # of the key, from the top


@triton.jit
def vote_kernel(scores_ptr, lse_ptr, vote_ptr, n, HEADS: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    vote = tl.zeros([BLOCK], dtype=tl.float32)
    row_ptr = scores_ptr  # moved on by a row at a time: an offset of all rows may overflow 32 bits
    for head in range(HEADS):
        score = tl.load(row_ptr + at, mask=at < n, other=float("-inf"))
        lse = tl.load(lse_ptr + head)
        vote += tl.where(lse == float("-inf"), 0.0, tl.exp(score - tl.where(lse == float("-inf"), 0.0, lse)))
        row_ptr += n
    tl.store(vote_ptr + at, vote, mask=at < n)


@triton.jit
def _ordered(vote):
    """Bits that compare as unsigned numbers as the votes do: of negative ones all are flipped, of others the sign. -0 is 0."""
    bits = (vote + 0.0).to(tl.uint32, bitcast=True)
    return tl.where(bits >> 31 == 1, ~bits, bits | 0x80000000)


@triton.jit
def histogram_kernel(vote_ptr, state_ptr, counts_ptr, nan_ptr, n, SHIFT: tl.constexpr, BITS: tl.constexpr, BLOCK: tl.constexpr):
    """Count the next BITS of the keys that share the bits found so far; state: [prefix, wanted]."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    vote = tl.load(vote_ptr + at, mask=at < n, other=0.0)
    tl.store(nan_ptr + tl.zeros_like(at), 1, mask=(at < n) & (vote != vote))  # noqa: PLR0124
    key = _ordered(vote)
    prefix = tl.load(state_ptr).to(tl.uint32)
    inside = at < n
    if SHIFT + BITS < 32:
        inside &= (key >> (SHIFT + BITS)) == prefix
    digit = ((key >> SHIFT) & ((1 << BITS) - 1)).to(tl.int32)
    counts = tl.histogram(digit, 1 << BITS, mask=inside)
    bins = tl.arange(0, 1 << BITS)
    tl.atomic_add(counts_ptr + bins, counts, mask=counts > 0)


@triton.jit
def choose_kernel(state_ptr, counts_ptr, BITS: tl.constexpr):
    """The digit in which the wanted-th highest key lies: append it to the prefix, and take off what lies above it."""
    bins = tl.arange(0, 1 << BITS)
    prefix, wanted = tl.load(state_ptr), tl.load(state_ptr + 1)
    counts = tl.load(counts_ptr + bins).to(tl.int64)
    above = tl.sum(counts, axis=0) - tl.cumsum(counts, axis=0)  # keys with a higher digit
    here = (above < wanted) & (above + counts >= wanted)
    digit = tl.sum(tl.where(here, bins, 0), axis=0).to(tl.int64)
    taken = tl.sum(tl.where(here, above, 0), axis=0)
    tl.store(state_ptr, (prefix << BITS) | digit)
    tl.store(state_ptr + 1, wanted - taken)


@triton.jit
def count_kernel(vote_ptr, state_ptr, higher_ptr, equal_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    key = _ordered(tl.load(vote_ptr + at, mask=at < n, other=0.0))
    threshold = tl.load(state_ptr).to(tl.uint32)
    tl.store(higher_ptr + tl.program_id(0), tl.sum(((key > threshold) & (at < n)).to(tl.int32), axis=0))
    tl.store(equal_ptr + tl.program_id(0), tl.sum(((key == threshold) & (at < n)).to(tl.int32), axis=0))


@triton.jit
def write_kernel(vote_ptr, state_ptr, higher_ptr, equal_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """higher, equal: how many there are before each block. Higher keys are all taken, of equal ones as many as are wanted."""
    block = tl.program_id(0)
    at = block * BLOCK + tl.arange(0, BLOCK)
    key = _ordered(tl.load(vote_ptr + at, mask=at < n, other=0.0))
    threshold, wanted = tl.load(state_ptr).to(tl.uint32), tl.load(state_ptr + 1)
    higher, equal = ((key > threshold) & (at < n)).to(tl.int64), ((key == threshold) & (at < n)).to(tl.int64)
    higher_before = tl.load(higher_ptr + block) + tl.cumsum(higher, axis=0) - higher
    equal_before = tl.load(equal_ptr + block) + tl.cumsum(equal, axis=0) - equal
    taken = (higher == 1) | ((equal == 1) & (equal_before < wanted))
    tl.store(out_ptr + higher_before + tl.minimum(equal_before, wanted), at.to(tl.int64), mask=taken)


def soft_vote(scores: Tensor, lse: Tensor) -> Tensor:
    """Sum over the heads of exp(score - lse) (paper, Eq. 7): [n] float32. scores: [q_heads, n] float32; lse: [q_heads]."""
    heads, n = scores.shape
    vote = torch.empty(n, dtype=torch.float32, device=scores.device)
    vote_kernel[(triton.cdiv(n, BLOCK),)](scores, lse, vote, n, HEADS=heads, BLOCK=BLOCK)
    return vote


def top_k(vote: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Positions of the k highest votes (float32 [n], 0 < k <= n), ascending, int64 [k]; and int32 [1], 1 if one is NaN."""
    n, device = vote.shape[0], vote.device
    blocks = triton.cdiv(n, BLOCK)
    state = torch.zeros(2, dtype=torch.int64, device=device)
    state[1:].fill_(k)  # as `state[1] = k` it would be copied from the CPU
    nan = torch.zeros(1, dtype=torch.int32, device=device)
    shift = 32
    for bits in BITS:
        shift -= bits
        counts = torch.zeros(1 << bits, dtype=torch.int32, device=device)
        histogram_kernel[(blocks,)](vote, state, counts, nan, n, SHIFT=shift, BITS=bits, BLOCK=BLOCK)
        choose_kernel[(1,)](state, counts, BITS=bits)
    higher, equal = torch.empty(2, blocks, dtype=torch.int32, device=device)
    count_kernel[(blocks,)](vote, state, higher, equal, n, BLOCK=BLOCK)
    before = [part.cumsum(0, dtype=torch.int64) - part for part in (higher, equal)]
    out = torch.empty(k, dtype=torch.int64, device=device)
    write_kernel[(blocks,)](vote, state, before[0], before[1], out, n, BLOCK=BLOCK)
    return out, nan
