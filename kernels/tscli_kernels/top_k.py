"""Exact top-k with a fixed order among equals, which torch.topk does not promise."""

from __future__ import annotations

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
    if torch.isnan(vote).any():
        raise ValueError(DAMAGED)
    if k >= n:
        return torch.arange(n, device=vote.device)
    if k == 0:
        return torch.empty(0, dtype=torch.int64, device=vote.device)
    threshold = torch.topk(vote, k, sorted=True).values[-1]
    above = torch.nonzero(vote > threshold).squeeze(1)
    equal = torch.nonzero(vote == threshold).squeeze(1)[: k - above.shape[0]]
    return torch.cat([above, equal]).sort().values
