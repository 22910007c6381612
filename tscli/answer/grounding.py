"""Whether an answer is grounded: does it say anything that its passages make likelier, or only what the model expects anyway?

A model that finds nothing answers all the same, with what such questions are commonly answered by. Its tokens are then no less
likely without the passages, while what is read in a passage is nats likelier after it. What each token gains (the pointwise
information that the passages give of it) is summed up as in a CUSUM test (Page 1954): a number or a name of several tokens
counts as a whole, many small gains far apart do not. Small models also go on after an answer that they have read, with more
that they expect, so what follows it is asked the same, sentence by sentence. Knows numbers only.
"""

from __future__ import annotations

ALLOWANCE = 0.25  # nats that a token must gain to count
ENOUGH = 1.5  # nats that some stretch of a sentence must gain beyond that; both chosen on sets made for tuning: docs/LOG.md
PATIENCE = 32  # tokens after which an answer that says nothing of the passages is given up


class Grounding:
    """One answer's tokens, taken as they are made.

    is_open: whether those of the sentence that is being made, and of open ones before it, say nothing of the passages yet.
    """

    def __init__(self) -> None:
        self.is_open = True
        self._gained = 0.0
        self._tokens = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether so many tokens have said nothing that no more are waited for."""
        return self.is_open and self._tokens >= PATIENCE

    def take(self, behind: float, without: float, *, begins: bool = False) -> None:
        """The next token's log-probability after the passages, and without them; begins: it is a further sentence's first."""
        if begins and not self.is_open:
            self.is_open, self._gained, self._tokens = True, 0.0, 0
        self._tokens += 1
        self._gained = max(0.0, self._gained + behind - without - ALLOWANCE)
        self.is_open = self.is_open and self._gained < ENOUGH
