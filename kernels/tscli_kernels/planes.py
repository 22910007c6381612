"""The sketch's scan, and the tokens whose scores reach a threshold."""

from __future__ import annotations

import torch
from torch import Tensor

from tscli_kernels.compiled import pays


def scan_planes(query: Tensor, planes: Tensor, start: int, stop: int) -> Tensor:
    """Dot products of each head's sketch with those of the keys [start, stop), accumulated in float32.

    Args:
        query: [kv_heads, group, rank] float32. planes: [kv_heads, rank, capacity], any float dtype.

    Returns: float32 [kv_heads * group, stop - start].
    """
    if pays(planes, stop - start, of_many=True):
        from tscli_kernels.cpu import scanning

        return scanning.scan_planes(query, planes, start, stop)
    turned = query.to(planes.dtype)
    out = planes.new_empty(turned.shape[0], turned.shape[1], stop - start)
    for head, plane in enumerate(planes):  # a batched product copies a part of the planes: eight times slower
        torch.mm(turned[head], plane[:, start:stop], out=out[head])
    return out.flatten(0, 1).float()


def reaching_planes(query: Tensor, planes: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
    """Which of the keys [start, stop) reach a threshold in any head, by the scores of `scan_planes`.

    threshold: float32 [kv_heads * group]. Returns int64 [c], ascending, counted from start. No score reaches NaN.
    """
    if pays(planes, stop - start):
        from tscli_kernels.cpu import scanning

        return scanning.reaching_planes(query, planes, start, stop, threshold)
    return reaching(scan_planes(query, planes, start, stop), threshold)


def reaching(scores: Tensor, threshold: Tensor) -> Tensor:
    """Where scores [q_heads, n] reach the threshold [q_heads] in any head: int64 [c], ascending."""
    return torch.nonzero((scores >= threshold[:, None]).any(dim=0)).squeeze(1)
