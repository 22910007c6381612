"""From approximate scores to a selection: candidates by threshold, their exact votes, top-k among them. Knows tensors only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection, select
from tscli_kernels import top_k

SKETCH_FROM = 65_536  # candidates from which the sketch is faster than the exact scan (docs/LOG.md)
SAMPLE = 32_768  # tokens that are looked at to set the threshold and to estimate the softmax's tail


def uses_sketch(config: SelectionConfig, num_tokens: int) -> bool:
    """Whether so many candidates are scanned by the sketch where there is one: soft votes only, and not below the length
    from which it pays."""
    return config.scan == "sketch" and config.metric == "soft" and num_tokens >= SKETCH_FROM


def num_candidates(k: int, num_tokens: int) -> int:
    """How many candidates a scan aims at: a sixty-fourth of the tokens, and eight for each that is selected."""
    return max(8 * k, num_tokens // 64)


def find_candidates(approximate: Tensor, count: int, always: Tensor | None = None) -> Tensor:
    """The tokens that any head scores among its best: about `count` in all, more where scores are equal; and those of `always`.

    approximate: [q_heads, n]. Each head's threshold is what count / q_heads tokens reach, as a sample of the tokens has it.
    always: int64, candidates whatever they score. Positions, int64 [c], ascending.
    """
    heads, n = approximate.shape
    if count >= n:
        return torch.arange(n, device=approximate.device)
    step = _step(n)
    sample = approximate[:, ::step].float()
    kept = max(1, min(sample.shape[1], round(count / heads / step)))
    threshold = sample.topk(kept, dim=-1).values[:, -1].to(approximate.dtype)
    above = approximate[0] - threshold[0]
    for row, least in zip(approximate[1:], threshold[1:], strict=True):
        torch.maximum(above, row - least, out=above)
    if always is not None:
        above.index_fill_(0, always, 0)
    return _nonzero(above >= 0)


def candidate_votes(exact: Tensor, approximate: Tensor, positions: Tensor, shift: Tensor, scale: float = 1.0) -> Tensor:
    """Soft votes (paper, Eq. 7) of the candidates, the softmax's sum over all other tokens estimated from a sample of them.

    Args:
        exact: [q_heads, c] scores of the candidates. approximate: [q_heads, n], which the first of `exact` replace at
            `positions`; candidates past those are not among the n.
        shift: [q_heads], what is to be added to the approximate scores of each head. scale: factor on both.

    Returns: [c] float32.
    """
    step = _step(approximate.shape[1])
    sample = (approximate[:, ::step].float() + shift[:, None]) * scale
    sample[:, positions[positions % step == 0] // step] = float("-inf")
    highest = torch.maximum(exact.amax(dim=-1, keepdim=True), sample.amax(dim=-1, keepdim=True))
    weights = torch.exp(exact - highest)
    total = weights.sum(dim=-1) + step * torch.exp(sample - highest).sum(dim=-1)
    return torch.mv(weights.T, total.reciprocal())


def mass_recalled(
    exact: Tensor, approximate: Tensor, shift: Tensor, config: SelectionConfig, always: Tensor | None = None
) -> float:
    """Share of the exact selection's votes that the selection by approximate scores holds; both scores [q_heads, n]; always:
    as `find_candidates` has it."""
    n = exact.shape[1]
    positions = find_candidates(approximate, num_candidates(config.count(n), n), always)
    votes = candidate_votes(exact[:, positions], approximate, positions, shift)
    found, wanted = select_among(positions, votes, 0, n, config), select(exact, 0, n, config)
    total = wanted.votes.sum()
    return float((wanted.votes * torch.isin(wanted.positions, found.positions)).sum() / total) if total > 0 else 1.0


def select_among(positions: Tensor, votes: Tensor, first: int, local_start: int, config: SelectionConfig) -> Selection:
    """What `select` makes of votes that are zero everywhere but at the candidates.

    positions: int64 [c], ascending, of tokens in [first, local_start); votes: [c].
    """
    k = config.count(local_start - first)
    best = top_k(votes, k)
    if config.pool <= 1:
        return Selection(positions[best], votes[best], local_start)
    # Only windows around the k best can hold what pooling selects: each of them is worth more than what it keeps out.
    reach = torch.arange(-(config.pool // 2), config.pool // 2 + 1, device=positions.device)
    places = (positions[best][:, None] + reach).flatten()
    worth = votes[best].repeat_interleave(reach.shape[0])
    inside = (places >= first) & (places < local_start)
    unique, which = torch.unique(places[inside], return_inverse=True)  # ascending
    pooled = torch.zeros(unique.shape[0], dtype=votes.dtype, device=votes.device)
    pooled.scatter_reduce_(0, which, worth[inside], "amax")
    chosen = unique[top_k(pooled, k)]
    found = torch.searchsorted(positions, chosen).clamp_max(positions.shape[0] - 1)
    return Selection(chosen, torch.where(positions[found] == chosen, votes[found], 0.0), local_start)


def _step(num_tokens: int) -> int:
    """One token of so many is in the sample."""
    return max(1, num_tokens // SAMPLE)


def _nonzero(mask: Tensor) -> Tensor:
    """Where mask [n] is True, int64 ascending. On the CPU numpy finds a few among a million in half the time."""
    return torch.nonzero(mask).squeeze(1) if mask.is_cuda else torch.from_numpy(np.flatnonzero(mask.numpy()))
