"""What one answer token drew on: its attention in the last selecting layer, by where it went. Plain data.

Votes say what was worth attending to; this says what was attended. Both come from the same step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tscli.model.step import AttentionTrace
from tscli.selection.select import Selection

KEPT = 4096  # of the tokens that one step attends to; only dense attention has more


@dataclass(frozen=True)
class TokenAttribution:
    """positions int64 [s], ascending, shares float32 [s]: selected tokens of the documents, or all where all are attended.

    sinks: share of the first tokens, always attended; local: of the last ones; own: of the question and the answer itself.
    """

    positions: np.ndarray
    shares: np.ndarray
    sinks: float
    local: float
    own: float


def token_attribution(trace: AttentionTrace, selection: Selection, num_tokens: int, n_init: int) -> TokenAttribution:
    """Sort one step's attention by where it went; num_tokens: of the documents."""
    positions, shares = trace.positions.cpu(), trace.shares.cpu()
    cached = positions < num_tokens
    chosen = cached & torch.isin(positions, selection.positions.cpu())
    first = cached & ~chosen & (positions < n_init)
    local = cached & ~chosen & ~first
    places, parts = positions[chosen], shares[chosen]
    if places.shape[0] > KEPT:
        largest = parts.topk(KEPT).indices.sort().values
        places, parts = places[largest], parts[largest]
    return TokenAttribution(
        places.numpy(),
        parts.numpy(),
        float(shares[first].sum()),
        float(shares[local].sum()),
        1.0 - float(shares[cached].sum()),
    )
