"""Whether an answer is grounded: does it say anything that its passages make likelier, or only what the model expects anyway?

A model that finds nothing answers all the same, with what such questions are commonly answered by. Its tokens are then no less
likely without the passages, while what is read in a passage is nats likelier after it. What each token gains (the pointwise
information that the passages give of it) is summed up as in a CUSUM test (Page 1954): a number or a name of several tokens
counts as a whole, many small gains far apart do not. Small models also go on after an answer that they have read, with more
that they expect. So each further sentence is judged as a whole, when it ends: its tokens must gain enough on average, and one
that only repeats or embroiders what was said ends the answer before it. Knows numbers only.
"""

from __future__ import annotations

ALLOWANCE = 0.25  # nats that a token must gain to count
ENOUGH = 1.5  # nats that some stretch of an answer must gain beyond that; both chosen on sets made for tuning: docs/LOG.md
MEAN = 1.0  # nats that each token of a further sentence must gain on average; chosen likewise
PATIENCE = 32  # tokens of a sentence after which no more are waited for


class Grounding:
    """One answer's tokens, taken as they are made.

    grounded: how many of them are: all, once a stretch of them has gained enough, and those of each further sentence when it
    has ended. is_over: whether no more of them can be.
    """

    def __init__(self) -> None:
        self.grounded = 0
        self.is_over = False
        self._taken = 0
        self._gained = 0.0
        self._further: list[float] | None = None  # gains of the further sentence that is being made

    def take(self, behind: float, without: float, *, begins: bool = False) -> None:
        """The next token's log-probability after the passages, and without them; begins: it is a further sentence's first."""
        if begins and self.grounded:
            self.end_sentence()
            self._further = []
        if self.is_over:
            return
        self._taken += 1
        if self._further is None:
            self._gained = max(0.0, self._gained + behind - without - ALLOWANCE)
            self.grounded = self._taken if self.grounded or self._gained >= ENOUGH else 0
            self.is_over = not self.grounded and self._taken >= PATIENCE
        else:
            self._further.append(behind - without)
            self.is_over = len(self._further) >= PATIENCE and not self._is_read

    def end_sentence(self) -> None:
        """The sentence that is being made has ended."""
        if self._further is None or self.is_over:
            return
        if self._is_read:
            self.grounded = self._taken
        else:
            self.is_over = True

    @property
    def _is_read(self) -> bool:
        """Whether the further sentence's tokens so far gain enough."""
        assert self._further is not None
        return sum(self._further) >= MEAN * len(self._further)
