"""Which tokens of an answer have weak support: they drew on the question or on what is always there, not on documents."""

from __future__ import annotations

import numpy as np

from tscli.answer.token_attribution import TokenAttribution
from tscli.tokens import Context

WEAK = 0.5  # share of the attention off the sinks; docs/LOG.md has what it marks
FAINT = 0.02  # below this, all there is went to sinks


def support(attribution: TokenAttribution, context: Context) -> float:
    """The share of selected document tokens in the attention of a step, sinks left out.

    What is always attended (first and last tokens, question, answer so far) is no support: it is there for any question.
    """
    there = attribution.shares[(context.page[attribution.positions] > 0) & (context.document[attribution.positions] >= 0)]
    documents = float(np.sum(there))
    attended = documents + attribution.local + attribution.own
    return documents / attended if attended >= FAINT else 0.0


def is_weak(attribution: TokenAttribution, context: Context) -> bool:
    """Whether a step drew on documents for less than half of what it attended to."""
    return support(attribution, context) < WEAK
