"""How sure a model was of an answer: how likely the tokens were, in the mean, that say what the question does not.

A small model answers from the wrong passage as fluently as from the right one, but it wavers more between words: the
length-normalised likelihood of what it says (arXiv 2002.07650) tells many such answers from others. Knows numbers and a
question's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tscli.answer.question_tokens import QuestionTokens

UNSURE = 0.4  # below this, of answers to sets made for tuning, far fewer are right than above: docs/LOG.md


def confidence(token_ids: Sequence[int], log_probs: Sequence[float], asked: QuestionTokens) -> float | None:
    """The geometric mean of the probabilities of an answer's tokens, given as natural logarithms, but for the tokens that the
    question has; None where there are no others."""
    new = [own for token, own in zip(token_ids, log_probs, strict=False) if token not in asked]
    return math.exp(sum(new) / len(new)) if new else None


def is_unsure(sure: float | None) -> bool:
    """Whether a user is to be told of such a confidence."""
    return sure is not None and sure < UNSURE
