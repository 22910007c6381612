"""Passages read separately: the next token by all of them, each one's say by how well it fits the question.

When passages share one context, a small model mixes up what they say. So each follows the prefix alone, and the
next token's probability is the mean over the passages, weighted by how much each of them makes the question likelier (arXiv
2005.11401, RAG-Token; for models that are not trained for it arXiv 2301.12652).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tscli.answer.passages import Fit

SHARPNESS = 5.0  # of the weights, per nat of gain a token of the question; chosen on a set made for tuning: docs/LOG.md
LEAST_WEIGHT = 0.05  # of a passage that is read: with less it says next to nothing, and costs as much as any


def weights_of(gains: Sequence[float]) -> Tensor:
    """Log-weights of passages [m] float32 by their gains, in nats per token of the question."""
    return torch.log_softmax(SHARPNESS * torch.tensor(gains, dtype=torch.float32), dim=0)


def influential(fits: Sequence[Fit]) -> list[Fit]:
    """The passages whose weight among these is at least LEAST_WEIGHT."""
    weights = weights_of([fit.gain for fit in fits]).exp().tolist()
    return [fit for fit, weight in zip(fits, weights, strict=True) if weight >= LEAST_WEIGHT]


def mixed(read: Tensor, weights: Tensor) -> Tensor:
    """Log-probabilities [vocab] float32 of the next token; -inf where they are below float32's.

    read: log-probabilities [m, vocab] float32 of it after each passage; weights: of each passage, logarithms [m].
    """
    weighted = read + weights[:, None]
    return weighted[0] if len(weighted) == 1 else weighted.exp_().sum(dim=0).log_()


def said_by(read: Tensor, weights: Tensor, token: int) -> Tensor:
    """Each passage's share of a token that was chosen: [m] float32, together 1; arguments as `mixed` takes them."""
    return torch.softmax(read[:, token] + weights, dim=0)
