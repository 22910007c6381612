"""What passages change about the next token, made to count for more: context-aware decoding (arXiv 2305.14739).

A small model knows the question's topic from elsewhere and likes to say what it expects, not what it reads. So each token is
scored by its log-probability after the passages, plus `contrast` times what that gains over the log-probability without them.
Tokens far less likely than the likeliest one after the passages are left out, as in contrastive decoding (arXiv 2210.15097).
What an answer takes over from the question is not to be learned from passages: where the question's next word is the likeliest
after them and without them, it counts as it is, or other names of the passages would be said instead. A model that reads well
is better without contrast: it drifts from what was asked to whatever else its passages say. So whether a model's answers are
contrasted is calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

CONTRAST = 0.5  # where there is any; chosen on a set made for tuning: docs/LOG.md
PLAUSIBLE = 0.1  # of the likeliest token's probability


def contrasted(behind: Tensor, without: Tensor, contrast: float, *, plausible: float = PLAUSIBLE) -> Tensor:
    """Scores [vocab] float32 of the next token, -inf where it is not plausible; without contrast its log-probabilities.

    behind, without: logits [vocab] float32 of the same tokens after passages and without any.
    """
    read = behind.log_softmax(dim=-1)
    if not contrast:
        return read
    known = without.log_softmax(dim=-1)
    scores = read + contrast * (read - known)
    return scores.masked_fill(read < read.max() + math.log(plausible), -math.inf)


def restates(question: Sequence[int], said: Sequence[int], token: int) -> bool:
    """Whether an answer that ends with the tokens `said` would go on with this one as the question does, and for the first
    time: what says the question over again answers nothing."""
    if not said:
        return False
    pair = said[-1], token
    return pair in pairwise(question) and pair not in pairwise(said)
