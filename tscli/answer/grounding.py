"""Whether an answer is grounded: does it say anything that its passages make likelier, or only what the model expects anyway?

A model that finds nothing answers all the same, with what such questions are commonly answered by. Its tokens are then no less
likely without the passages, while what is read in a passage is nats likelier after it. What each token gains (the pointwise
information that the passages give of it) is summed up as in a CUSUM test (Page 1954): a number or a name of several tokens
counts as a whole, many small gains far apart do not. Small models also go on after an answer that they have read, with more
that they expect. So each further clause is judged as a whole, when it ends: its tokens must gain enough on average, and one
that only repeats or embroiders what was said ends the answer before it. Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

ALLOWANCE = 0.25  # nats that a token must gain to count
ENOUGH = 1.5  # nats that some stretch of an answer must gain beyond that; both chosen on sets made for tuning: docs/LOG.md
MEAN = 1.0  # nats that each token of a further clause must gain on average; chosen likewise
SAYS = 0.5  # nats that a token gains by which its word says something
SHORTEST = 3  # tokens of a further clause: "However," is none
PATIENCE = 32  # tokens that gain too little after which no more are waited for


class Begins(IntEnum):
    """What a token begins; a sentence begins with a clause."""

    NOTHING = 0  # it goes on with a word
    WORD = 1
    CLAUSE = 2


class Grounding:
    """One answer's tokens, taken as they are made.

    grounded: how many of them are. Once a stretch of the answer has gained enough: all of that, and what follows it in its
    clause, when that has ended or another word of it gains something; and those of each further clause, when it has ended.
    is_over: whether no more of them can be.
    """

    def __init__(self) -> None:
        self.grounded = 0
        self.is_over = False
        self._taken = 0
        self._gained = 0.0
        self._word_gains = False
        self._last = 0  # where the last word of the clause that gains something ends
        self._further: list[float] | None = None  # gains of the further clause that is being made

    def take(self, behind: float, without: float, *, begins: Begins = Begins.WORD) -> None:
        """The next token's log-probability after the passages, and without them."""
        if begins == Begins.CLAUSE and self.grounded and (self._further is None or len(self._further) >= SHORTEST):
            self.end_clause()
            self._further, self._last = [], self._taken
        if self.is_over:
            return
        gain = behind - without
        self._taken += 1
        self._word_gains = gain >= SAYS or (self._word_gains and begins == Begins.NOTHING)
        if self._word_gains:
            self._last = self._taken
        if self._further is None:
            self._gained = max(0.0, self._gained + gain - ALLOWANCE)
            self.grounded = self._last if self.grounded else self._taken if self._gained >= ENOUGH else 0
        else:
            self._further.append(gain)
        self._lose_patience()

    def end_clause(self) -> None:
        """The clause that is being made has ended."""
        if self.is_over:
            return
        if self._further is None:
            self.grounded = self._taken if self.grounded else 0
        elif _is_read(self._further):
            self.grounded = self._taken
        else:
            self.is_over = True

    def _lose_patience(self) -> None:
        """End the answer where no word of the clause has gained anything for long, or it as a whole too little."""
        idle = self._taken - max(self._last, self.grounded)
        if self._further is None:
            self.is_over = idle >= PATIENCE if self.grounded else self._taken >= PATIENCE
            return
        if idle >= PATIENCE and _is_read(read := self._further[:-idle]):
            self.grounded += len(read)
        self.is_over = idle >= PATIENCE or (len(self._further) >= PATIENCE and not _is_read(self._further))


def _is_read(gains: Sequence[float]) -> bool:
    """Whether a further clause's tokens gain enough."""
    return sum(gains) >= MEAN * len(gains)
