"""The sketch's scan on the CPU, and which tokens reach a threshold."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numba import prange
from torch import Tensor

from tscli_kernels.cpu.byte_products import add_products, mark_reaching
from tscli_kernels.cpu.loops import compiled, serial, trailing_zeros, use_torch_threads
from tscli_kernels.sketch_codes import ZERO

BLOCK = 4096  # tokens
_kept = threading.local()


def scan_codes(codes: Tensor, scale: Tensor, key_codes: Tensor, start: int, stop: int) -> Tensor:
    """As `sketch_codes.scan_codes`, of a coded query."""
    use_torch_threads()
    out = torch.empty(codes.shape[0] * codes.shape[1], stop - start)
    _scan(*_heads(codes, scale), _fours(key_codes), start, out.numpy())
    return out


def reaching_codes(codes: Tensor, scale: Tensor, key_codes: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
    """As `sketch_codes.reaching_codes`, of a coded query."""
    use_torch_threads()
    blocks = -(-(stop - start) // BLOCK)
    places, counts = _kept_places(blocks * BLOCK), np.empty(blocks, np.int64)
    _find(*_heads(codes, scale), _fours(key_codes), start, stop - start, threshold.numpy(), places, counts)
    out = torch.empty(int(counts.sum()), dtype=torch.int64)
    _join(places, counts, out.numpy())
    return out


def _kept_places(count: int):
    """Memory for so many positions; kept, because new memory costs more than what is written there."""
    places = getattr(_kept, "places", None)
    if places is None or places.shape[0] < count:
        places = _kept.places = np.empty(count, np.int32)
    return places


def _fours(key_codes: Tensor):
    """Four coordinates in an int32: [kv_heads, groups, capacity]."""
    return key_codes.view(torch.int32)[..., 0].numpy()


def _heads(codes: Tensor, scale: Tensor):
    """Of each head: its codes, four in an int32; what its sums begin with, for keys count from ZERO; its scale."""
    flat = codes.flatten(0, 1).contiguous()
    return flat.view(torch.int32).numpy(), -ZERO * flat.sum(dim=1, dtype=torch.int32).numpy(), scale.flatten().numpy()


@compiled
def _scan(codes, begin, scale, key_codes, start, out):
    kv_heads = key_codes.shape[0]
    group, n = codes.shape[0] // kv_heads, out.shape[1]
    for block in prange((n + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        sums, second = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
        for kv_head in range(kv_heads):
            for head in range(kv_head * group, (kv_head + 1) * group, 2):
                other = min(head + 1, (kv_head + 1) * group - 1)
                one, two = begin[head], begin[other]
                add_products(key_codes[kv_head], start + low, start + high, codes[head], codes[other], one, two, sums, second)
                for place in range(high - low):
                    out[head, low + place] = np.float32(sums[place]) * scale[head]
                    out[other, low + place] = np.float32(second[place]) * scale[other]


@compiled
def _find(codes, begin, scale, key_codes, start, n, threshold, places, counts):
    """Which of n tokens reach a threshold, and how many of each block do; those of a block stand from its beginning on."""
    kv_heads = key_codes.shape[0]
    group = codes.shape[0] // kv_heads
    for block in prange(counts.shape[0]):
        low, high = block * BLOCK, min(n, (block + 1) * BLOCK)
        sums, second = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
        marks = np.zeros(BLOCK // 64, np.uint64)
        for kv_head in range(kv_heads):
            for head in range(kv_head * group, (kv_head + 1) * group, 2):
                other = min(head + 1, (kv_head + 1) * group - 1)
                mark_reaching(
                    key_codes[kv_head], start + low, start + high, codes[head], codes[other], begin[head], begin[other],
                    (scale[head], scale[other]), (threshold[head], threshold[other]), marks, sums, second,
                )  # fmt: skip
        count = 0
        for word in range(BLOCK // 64):
            ones = marks[word]
            while ones:
                places[low + count] = low + 64 * word + trailing_zeros(ones)
                ones &= ones - np.uint64(1)
                count += 1
        counts[block] = count


@serial
def _join(places, counts, out):
    """The positions of all blocks, without what lies between them."""
    at = 0
    for block in range(counts.shape[0]):
        for number in range(counts[block]):
            out[at] = places[block * BLOCK + number]
            at += 1
