"""Which tokens of an answer have weak support: they drew on the question or on what is always there, not on documents."""

from __future__ import annotations

import numpy as np

from tscli.answer.drawn import Drawn
from tscli.tokens import Context

WEAK = 0.5  # share of the attention off the sinks; docs/LOG.md has what it marks
FAINT = 0.02  # below this, all there is went to sinks


def support(drawn: Drawn, context: Context) -> float:
    """The share of selected document tokens in the attention of a step, sinks left out.

    What is always attended (first and last tokens, question, answer so far) is no support: it is there for any question.
    """
    there = drawn.shares[(context.page[drawn.positions] > 0) & (context.document[drawn.positions] >= 0)]
    documents = float(np.sum(there))
    attended = documents + drawn.local + drawn.own
    return documents / attended if attended >= FAINT else 0.0


def is_weak(drawn: Drawn, context: Context) -> bool:
    """Whether a step drew on documents for less than half of what it attended to."""
    return support(drawn, context) < WEAK
