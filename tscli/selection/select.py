"""Scores of the candidates -> the positions that are attended (paper, section 3.2). Knows no pages and no model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tscli.selection.config import SelectionConfig
from tscli_kernels import hard_vote, max_pool, raw_vote, soft_vote, top_k


@dataclass(frozen=True)
class Selection:
    """One selection of one layer: positions among all cached tokens, ascending, and the vote that each received.

    positions: int64 [s]. votes: float32 [s], before pooling. local_start: where the local window began at that time.
    """

    positions: Tensor
    votes: Tensor
    local_start: int


def select(scores: Tensor, first: int, local_start: int, config: SelectionConfig) -> Selection:
    """Select among the candidates.

    Args:
        scores: [q_heads, n] float32, one column per candidate, already scaled.
        first: position of the first candidate (n_init).
        local_start: position of the first token of the local window; candidates lie in [first, local_start).
    """
    return select_by(vote_of(scores, config.count(scores.shape[1]), config), first, local_start, config)


def select_by(vote: Tensor, first: int, local_start: int, config: SelectionConfig) -> Selection:
    """As `select`, by the candidates' votes [n]."""
    chosen = top_k(max_pool(vote, config.pool), config.count(vote.shape[0]))
    return Selection(chosen + first, vote[chosen], local_start)


def vote_of(scores: Tensor, k: int, config: SelectionConfig) -> Tensor:
    """One vote per candidate by the configured metric; [n]."""
    if config.metric == "soft":
        return soft_vote(scores)
    if config.metric == "hard":
        return hard_vote(scores, k)
    return raw_vote(scores)
