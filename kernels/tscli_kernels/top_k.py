"""Exact top-k with a fixed order among equals, which torch.topk does not promise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

DAMAGED = "a vote is NaN: the model or the cache is damaged"


def top_k(vote: Tensor, k: int) -> Tensor:
    """Positions of the k highest votes, in ascending order; among equal votes the lower position is taken first.

    Args:
        vote: [n] float. -inf is taken last. NaN is refused.
        k: how many; all positions if k >= n.

    Returns: int64 [min(k, n)]. Raises ValueError on NaN or a negative k.
    """
    n = vote.shape[0]
    if k < 0:
        raise ValueError(f"k must not be negative, got {k}")
    if vote.is_cuda and 0 < k < n and vote.dtype == torch.float32:
        from tscli_kernels.cuda import voting

        found, nan = voting.top_k(vote.contiguous(), k)
        if nan.item():
            raise ValueError(DAMAGED)
        return found
    if vote.is_cuda or vote.dtype not in (torch.float32, torch.float64):
        return top_k(vote.float().cpu(), k).to(vote.device)
    votes = vote.detach().numpy()
    best = np.partition(votes, n - k)[n - k :] if 0 < k < n else votes  # NaN counts as the highest
    if np.isnan(best).any():
        raise ValueError(DAMAGED)
    if k >= n:
        return torch.arange(n)
    if k == 0:
        return torch.empty(0, dtype=torch.int64)
    above = np.flatnonzero(votes > best[0])
    equal = np.flatnonzero(votes == best[0])[: k - above.shape[0]]
    return torch.from_numpy(np.sort(np.concatenate([above, equal])))
