"""Attention of one query on the CPU: keys are rotated, scored and weighed in one pass over the rows."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from tscli_kernels.cpu.loops import compiled, inlined, number, plain, use_torch_threads
from tscli_kernels.cpu.voting import exponential, highest

ROWS = 512  # that a thread takes at a time


def attend_turned(query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor, *, scaling: float) -> Tensor:
    """As `attention.attend_turned`."""
    use_torch_threads()
    kv_heads, rows, head_dim = key.shape
    grouped = query.float().reshape(kv_heads, -1, head_dim) * scaling
    out = torch.empty(kv_heads, grouped.shape[1], head_dim)
    _attend_turned(grouped.numpy(), plain(key), plain(value), cos[:rows].numpy(), sin[:rows].numpy(), out.numpy())
    return out.reshape(-1, 1, head_dim).to(query.dtype)


@compiled
def _attend_turned(query, key, value, cos, sin, out):
    kv_heads, group, head_dim = query.shape
    rows = cos.shape[0]
    parts = (rows + ROWS - 1) // ROWS
    asked = np.empty((kv_heads, group, head_dim), np.float32)  # rotated to the last row's position
    for head in range(kv_heads):
        for member in range(group):
            _turn(query[head, member], cos[rows - 1], sin[rows - 1], asked[head, member])
    tops = np.empty((kv_heads * parts, group), np.float32)
    sums = np.empty((kv_heads * parts, group), np.float32)
    sides = np.zeros((kv_heads * parts, group, head_dim), np.float32)
    for task in prange(kv_heads * parts):
        head, low = task // parts, task % parts * ROWS
        high = min(rows, low + ROWS)
        scores = np.empty((group, high - low), np.float32)
        turned, row = np.empty(head_dim, np.float32), np.empty(head_dim, np.float32)
        for place in range(low, high):
            for i in range(head_dim):
                row[i] = number(key[head, place, i])
            _turn(row, cos[place], sin[place], turned)
            for member in range(group):
                total = np.float32(0)
                for i in range(head_dim):
                    total += asked[head, member, i] * turned[i]
                scores[member, place - low] = total
        for member in range(group):
            top = highest(scores[member])
            tops[task, member], sums[task, member] = top, 0
            for place in range(high - low):
                scores[member, place] = exponential(scores[member, place] - top)
                sums[task, member] += scores[member, place]
        for place in range(low, high):
            for i in range(head_dim):
                row[i] = number(value[head, place, i])
            for member in range(group):
                weight = scores[member, place - low]
                for i in range(head_dim):
                    sides[task, member, i] += weight * row[i]
    for head in range(kv_heads):
        for member in range(group):
            top, total = np.float32(-np.inf), np.float32(0)
            for task in range(head * parts, (head + 1) * parts):
                top = max(top, tops[task, member])
            for task in range(head * parts, (head + 1) * parts):
                total += math.exp(tops[task, member] - top) * sums[task, member]
            for i in range(head_dim):
                side = np.float32(0)
                for task in range(head * parts, (head + 1) * parts):
                    side += math.exp(tops[task, member] - top) * sides[task, member, i]
                out[head, member, i] = side / total


@inlined
def _turn(row, cos, sin, out):
    """Rotate the first coordinates of row [head_dim], half against half, by cos and sin [rotary]."""
    rotary, half = cos.shape[0], cos.shape[0] // 2
    for i in range(half):
        out[i] = row[i] * cos[i] - row[half + i] * sin[i]
    for i in range(half, rotary):
        out[i] = row[i] * cos[i] + row[i - half] * sin[i]
    for i in range(rotary, row.shape[0]):
        out[i] = row[i]
