"""The sketch's scan on the CPU, and which tokens reach a threshold."""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from tscli_kernels.cpu.loops import compiled, inlined, number, plain, use_torch_threads

BLOCK = 4096  # tokens
STEP = 8  # coordinates that are added up at a time


def scan_planes(query: Tensor, planes: Tensor, start: int, stop: int) -> Tensor:
    """As `planes.scan_planes`."""
    use_torch_threads()
    out = torch.empty(query.shape[0] * query.shape[1], stop - start)
    _scan(_padded(query), plain(planes), start, out.numpy())
    return out


def reaching_planes(query: Tensor, planes: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
    """As `planes.reaching_planes`."""
    use_torch_threads()
    above, ends = np.empty(stop - start, np.uint8), np.empty(-(-(stop - start) // BLOCK), np.int64)
    _mark(_padded(query), plain(planes), start, threshold.numpy(), above, ends)
    out = torch.empty(int(ends[-1]), dtype=torch.int64)
    _collect(above, ends, out.numpy())
    return out


def _padded(query: Tensor):
    """The query with zeros behind it, to a multiple of STEP coordinates."""
    padded = torch.zeros(*query.shape[:2], -(-query.shape[2] // STEP) * STEP)
    padded[..., : query.shape[2]] = query
    return padded.numpy()


@inlined
def _add_up(query, others, planes, begin, end, sums, second):
    """Products of two heads' queries [padded] with the keys [begin, end) of planes [rank, capacity]; each coordinate is
    converted once for both."""
    last = planes.shape[0] - 1
    for i in range(end - begin):
        sums[i], second[i] = np.float32(0), np.float32(0)
    for at in range(0, query.shape[0], STEP):
        q0, q1, q2, q3 = query[at], query[at + 1], query[at + 2], query[at + 3]
        q4, q5, q6, q7 = query[at + 4], query[at + 5], query[at + 6], query[at + 7]
        r0, r1, r2, r3 = others[at], others[at + 1], others[at + 2], others[at + 3]
        r4, r5, r6, r7 = others[at + 4], others[at + 5], others[at + 6], others[at + 7]
        k0, k1 = planes[min(last, at), begin:end], planes[min(last, at + 1), begin:end]
        k2, k3 = planes[min(last, at + 2), begin:end], planes[min(last, at + 3), begin:end]
        k4, k5 = planes[min(last, at + 4), begin:end], planes[min(last, at + 5), begin:end]
        k6, k7 = planes[min(last, at + 6), begin:end], planes[min(last, at + 7), begin:end]
        for i in range(end - begin):
            a, b, c, d = number(k0[i]), number(k1[i]), number(k2[i]), number(k3[i])
            e, f, g, h = number(k4[i]), number(k5[i]), number(k6[i]), number(k7[i])
            sums[i] += q0 * a + q1 * b + q2 * c + q3 * d + q4 * e + q5 * f + q6 * g + q7 * h
            second[i] += r0 * a + r1 * b + r2 * c + r3 * d + r4 * e + r5 * f + r6 * g + r7 * h


@compiled
def _scan(query, planes, start, out):
    kv_heads, group, _ = query.shape
    n = out.shape[1]
    for block in prange((n + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        sums, second = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        for head in range(kv_heads):
            for member in range(0, group, 2):
                other = min(member + 1, group - 1)
                _add_up(query[head, member], query[head, other], planes[head], start + low, start + high, sums, second)
                for place in range(high - low):
                    out[head * group + member, low + place] = sums[place]
                    out[head * group + other, low + place] = second[place]


@compiled
def _mark(query, planes, start, threshold, above, ends):
    """Which tokens reach a threshold, 1 or 0 each; and how many do up to the end of each block."""
    kv_heads, group, _ = query.shape
    n = above.shape[0]
    for block in prange(ends.shape[0]):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        sums, second = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        mine = above[low:high]
        for place in range(high - low):
            mine[place] = 0
        for head in range(kv_heads):
            for member in range(0, group, 2):
                other = min(member + 1, group - 1)
                _add_up(query[head, member], query[head, other], planes[head], start + low, start + high, sums, second)
                least, another = threshold[head * group + member], threshold[head * group + other]
                for place in range(high - low):
                    mine[place] |= (sums[place] >= least) | (second[place] >= another)
        count = 0
        for place in range(high - low):
            count += mine[place]
        ends[block] = count
    for block in range(1, ends.shape[0]):
        ends[block] += ends[block - 1]


@compiled
def _collect(above, ends, out):
    """The positions of the ones, each block's up to its end."""
    n = above.shape[0]
    for block in prange(ends.shape[0]):
        at = ends[block - 1] if block else 0
        if at < ends[block]:
            for place in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
                if above[place]:
                    out[at] = place
                    at += 1
