"""The sketch's scan on the CPU, and which tokens reach a threshold."""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from tscli_kernels.cpu.byte_products import add_products
from tscli_kernels.cpu.loops import compiled, use_torch_threads

BLOCK = 4096  # tokens
ZERO = 128  # the code of a key's 0, see `planes`


def scan_planes(codes: Tensor, scale: Tensor, planes: Tensor, start: int, stop: int) -> Tensor:
    """As `planes.scan_planes`, of a coded query."""
    use_torch_threads()
    out = torch.empty(codes.shape[0] * codes.shape[1], stop - start)
    _scan(*_heads(codes, scale), planes.numpy(), start, out.numpy())
    return out


def reaching_planes(codes: Tensor, scale: Tensor, planes: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
    """As `planes.reaching_planes`, of a coded query."""
    use_torch_threads()
    above, ends = np.empty(stop - start, np.uint8), np.empty(-(-(stop - start) // BLOCK), np.int64)
    _mark(*_heads(codes, scale), planes.numpy(), start, threshold.numpy(), above, ends)
    out = torch.empty(int(ends[-1]), dtype=torch.int64)
    _collect(above, ends, out.numpy())
    return out


def _heads(codes: Tensor, scale: Tensor):
    """Of each head: its codes, four in an int32; what its sums begin with, for keys count from ZERO; its scale."""
    flat = codes.flatten(0, 1).contiguous()
    return flat.view(torch.int32).numpy(), -ZERO * flat.sum(dim=1, dtype=torch.int32).numpy(), scale.flatten().numpy()


@compiled
def _scan(codes, begin, scale, planes, start, out):
    kv_heads = planes.shape[0]
    group, n = codes.shape[0] // kv_heads, out.shape[1]
    for block in prange((n + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        sums, second = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
        for kv_head in range(kv_heads):
            for head in range(kv_head * group, (kv_head + 1) * group, 2):
                other = min(head + 1, (kv_head + 1) * group - 1)
                keys = planes[kv_head, :, start + low : start + high]
                add_products(keys, codes[head], codes[other], begin[head], begin[other], sums, second)
                for place in range(high - low):
                    out[head, low + place] = np.float32(sums[place]) * scale[head]
                    out[other, low + place] = np.float32(second[place]) * scale[other]


@compiled
def _mark(codes, begin, scale, planes, start, threshold, above, ends):
    """Which tokens reach a threshold, 1 or 0 each; and how many do up to the end of each block."""
    kv_heads = planes.shape[0]
    group, n = codes.shape[0] // kv_heads, above.shape[0]
    for block in prange(ends.shape[0]):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        sums, second = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
        mine = above[low:high]
        for place in range(high - low):
            mine[place] = 0
        for kv_head in range(kv_heads):
            for head in range(kv_head * group, (kv_head + 1) * group, 2):
                other = min(head + 1, (kv_head + 1) * group - 1)
                keys = planes[kv_head, :, start + low : start + high]
                add_products(keys, codes[head], codes[other], begin[head], begin[other], sums, second)
                one, two, least, another = scale[head], scale[other], threshold[head], threshold[other]
                for place in range(high - low):
                    reached = np.float32(sums[place]) * one >= least
                    mine[place] |= reached | (np.float32(second[place]) * two >= another)
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
