"""Whether an answer is grounded: does it say anything that its passages make likelier, or only what the model expects anyway?

A model that finds nothing answers all the same, with what such questions are commonly answered by. Its tokens are then no less
likely without the passages, while what is read in a passage is nats likelier behind it. What each token gains (the pointwise
information that the passages give of it) is summed up as in a CUSUM test (Page 1954): a number or a name of several tokens
counts as a whole, many small gains far apart do not. Knows numbers only.
"""

from __future__ import annotations

ALLOWANCE = 0.25  # nats that a token must gain to count
ENOUGH = 1.5  # nats that some stretch of an answer must gain beyond that; both chosen on sets made for tuning: docs/LOG.md
PATIENCE = 32  # tokens after which an answer that says nothing of the passages is given up


class Grounding:
    """One answer's tokens, taken as they are made. is_grounded: whether they have said something of the passages."""

    def __init__(self) -> None:
        self.is_grounded = False
        self._gained = 0.0
        self._tokens = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether so many tokens have said nothing that no more are waited for."""
        return not self.is_grounded and self._tokens >= PATIENCE

    def take(self, behind: float, without: float) -> None:
        """The next token's log-probability behind the passages, and without them."""
        self._tokens += 1
        self._gained = max(0.0, self._gained + behind - without - ALLOWANCE)
        self.is_grounded = self.is_grounded or self._gained >= ENOUGH
