"""What passages change about the next token, made to count for more: context-aware decoding (arXiv 2305.14739).

A small model knows the question's topic from elsewhere and likes to say what it expects, not what it reads. So each token is
scored by its log-probability behind the passages, plus CONTRAST times what that gains over the log-probability without them.
Tokens far less likely than the likeliest one behind the passages are left out, as in contrastive decoding (arXiv 2210.15097).
"""

from __future__ import annotations

import math

from torch import Tensor

CONTRAST = 0.5  # chosen on a set made for tuning: docs/LOG.md
PLAUSIBLE = 0.1  # of the likeliest token's probability


def contrasted(behind: Tensor, without: Tensor, *, contrast: float = CONTRAST, plausible: float = PLAUSIBLE) -> Tensor:
    """Scores [vocab] float32 of the next token, -inf where it is not plausible.

    behind, without: logits [vocab] float32 of the same tokens behind passages and without any.
    """
    read, known = behind.log_softmax(dim=-1), without.log_softmax(dim=-1)
    scores = read + contrast * (read - known)
    return scores.masked_fill(read < read.max() + math.log(plausible), -math.inf)
