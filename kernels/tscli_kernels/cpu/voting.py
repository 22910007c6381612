"""Soft votes on the CPU: two passes over the scores, in blocks that stay in a core's cache."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from tscli_kernels.cpu.loops import compiled, inlined, power_of_two, use_torch_threads

BLOCK = 8192  # tokens
LANES = 64  # running maxima, so that they are taken a vector at a time
LEAST = -87.0  # e to the power of less is no float32


def soft_vote(scores: Tensor) -> Tensor:
    """As `vote.soft_vote`, of float32 scores whose rows are contiguous, if not behind each other."""
    use_torch_threads()
    heads, n = scores.shape
    out = torch.empty(n, dtype=torch.float32)
    whole = scores.as_strided((scores.stride(0) * (heads - 1) + n,), (1,))
    _soft_vote(whole.numpy(), heads, scores.stride(0), out.numpy())
    return out


def vote_beside(scores: Tensor, others: Tensor, weight: float) -> Tensor:
    """As `vote.vote_beside`."""
    use_torch_threads()
    out = torch.zeros(scores.shape[1], dtype=torch.float32)
    room = np.empty((scores.shape[0], scores.shape[1]), np.float32)
    _vote_beside(scores.numpy(), others.numpy(), np.float32(weight), room, out.numpy())
    return out


@inlined
def exponential(x):
    """e to the power of a float32 at or below zero, to two units in the last place; zero below LEAST, NaN of NaN."""
    bounded = np.float32(LEAST) if x < np.float32(LEAST) else x
    whole = np.floor(bounded * np.float32(1.44269504) + np.float32(0.5))
    rest = bounded - whole * np.float32(0.69314718)
    series = rest * np.float32(1 / 720) + np.float32(1 / 120)
    series = series * rest + np.float32(1 / 24)
    series = series * rest + np.float32(1 / 6)
    series = series * rest + np.float32(0.5)
    series = series * rest + np.float32(1)
    series = series * rest + np.float32(1)
    return np.float32(0) if x < np.float32(LEAST) else series * power_of_two(np.int32(whole))


@inlined
def highest(row):
    """The greatest number of a row of float32; the least float32 if there is none above it."""
    lanes = np.full(LANES, np.float32(-3.4028235e38), np.float32)
    whole = row.shape[0] // LANES * LANES
    for first in range(0, whole, LANES):
        part = row[first : first + LANES]
        for lane in range(LANES):
            lanes[lane] = part[lane] if part[lane] > lanes[lane] else lanes[lane]
    for place in range(whole, row.shape[0]):
        lanes[0] = row[place] if row[place] > lanes[0] else lanes[0]
    return lanes.max()


@compiled
def _soft_vote(scores, heads, stride, out):
    n = out.shape[0]
    blocks = (n + BLOCK - 1) // BLOCK
    tops = np.empty((blocks, heads), np.float32)
    sums = np.empty((blocks, heads), np.float32)
    for block in prange(blocks):
        for head in range(heads):
            part = scores[head * stride + block * BLOCK : head * stride + min(n, (block + 1) * BLOCK)]
            top = highest(part)
            total = np.float32(0)
            for place in range(part.shape[0]):
                total += exponential(part[place] - top)
            tops[block, head], sums[block, head] = top, total
    shares = np.empty(heads, np.float32)
    for head in range(heads):
        top = tops[:, head].max()
        whole = 1e-37  # of scores of -inf alone there is no more
        for block in range(blocks):
            whole += sums[block, head] * math.exp(tops[block, head] - top)
        tops[0, head], shares[head] = top, 1 / whole
    for block in prange(blocks):
        vote = out[block * BLOCK : min(n, (block + 1) * BLOCK)]
        vote[:] = 0
        for head in range(heads):
            part = scores[head * stride + block * BLOCK : head * stride + min(n, (block + 1) * BLOCK)]
            top, share = tops[0, head], shares[head]
            for place in range(part.shape[0]):
                vote[place] += share * exponential(part[place] - top)


@compiled
def _vote_beside(scores, others, weight, room, out):
    heads, n = scores.shape
    for head in prange(heads):
        mine, beside, kept = scores[head], others[head], room[head]
        top = max(highest(mine), highest(beside))
        total, rest = np.float32(0), np.float32(0)
        for place in range(n):
            kept[place] = exponential(mine[place] - top)
            total += kept[place]
        for place in range(beside.shape[0]):
            rest += exponential(beside[place] - top)
        share = 1 / (total + weight * rest)
        for place in range(n):
            kept[place] *= share
    for head in range(heads):
        kept = room[head]
        for place in range(n):
            out[place] += kept[place]
