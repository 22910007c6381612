"""From scores per head to one vote per token (paper, section 3.2 and Eq. 5-7), all in float32."""

from __future__ import annotations

import torch
from torch import Tensor

from tscli_kernels.compiled import use_compiled


def soft_vote(scores: Tensor) -> Tensor:
    """Softmax over the tokens for each head, summed over the heads (Eq. 7).

    Args:
        scores: [q_heads, n] float; -inf is a token that cannot be chosen. A head whose scores are all -inf votes for none.

    Returns: [n], sums to the number of voting heads.
    """
    if scores.is_cuda:
        from tscli_kernels.cuda import voting

        return voting.soft_vote(scores.float().contiguous(), torch.logsumexp(scores.float(), dim=-1))
    if scores.dtype == torch.float32 and scores.stride(1) == 1 and use_compiled(scores, scores.shape[1]):
        from tscli_kernels.cpu import voting as compiled_voting

        return compiled_voting.soft_vote(scores)
    highest = scores.amax(dim=-1, keepdim=True)
    weights = torch.exp(scores - highest.clamp_min(torch.finfo(scores.dtype).min))
    total = weights.sum(dim=-1).clamp_min(torch.finfo(scores.dtype).tiny)
    return torch.mv(weights.T, total.reciprocal())


def vote_beside(scores: Tensor, others: Tensor, weight: float) -> Tensor:
    """Soft votes of a few tokens, where of the many others only a sample is known.

    Args:
        scores: float32 [q_heads, n]. others: float32 [q_heads, m], the sample: each stands for `weight` tokens, -inf for none.

    Returns: [n], as `soft_vote` over all tokens would give for these.
    """
    if scores.is_contiguous() and others.is_contiguous() and use_compiled(scores, others.shape[1], of_many=True):
        from tscli_kernels.cpu import voting as compiled_voting

        return compiled_voting.vote_beside(scores, others, weight)
    highest = torch.maximum(scores.amax(dim=-1, keepdim=True), others.amax(dim=-1, keepdim=True))
    weights = torch.exp(scores - highest)
    total = weights.sum(dim=-1) + weight * torch.exp(others - highest).sum(dim=-1)
    return torch.mv(weights.T, total.reciprocal())


def hard_vote(scores: Tensor, k: int) -> Tensor:
    """Each head gives one vote to each of its own k best tokens (rejected by the paper's ablation); [n]."""
    best = scores.topk(min(k, scores.shape[-1]), dim=-1).indices
    return torch.zeros_like(scores).scatter_(1, best, 1.0).sum(dim=0)


def raw_vote(scores: Tensor) -> Tensor:
    """The plain sum of the heads' scores (rejected by the paper's ablation); [n]."""
    return scores.sum(dim=0)


def max_pool(vote: Tensor, width: int) -> Tensor:
    """Each token takes the highest vote within `width` (odd) tokens around it, so that neighbours come along; [n]."""
    if width <= 1:
        return vote
    return torch.nn.functional.max_pool1d(vote[None, None], width, stride=1, padding=width // 2)[0, 0]
