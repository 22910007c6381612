"""Judges an answer's tokens as they are chosen: which of them are of the answer, and whether what it says is grounded so far.

Thoughts are not judged. After a thought that says something, nothing is: the model answers from it, with passages or without.
The token that ends an answer says nothing.
"""

from __future__ import annotations

from tscli.answer.grounding import Grounding
from tscli.answer.passages import PassageFinder
from tscli.answer.session_strategy import Verdict
from tscli.tokens import Settled, ThoughtSplitter


class AnswerJudge:
    """verdict: on the tokens so far, see `SessionStrategy`. is_over: no more of them are waited for."""

    def __init__(self, finder: PassageFinder, splitter: ThoughtSplitter | None) -> None:
        """splitter: tells thoughts from the answer; None where there are none."""
        self.verdict: Verdict = "open"
        self.is_over = False
        self._finder = finder
        self._splitter = splitter
        self._grounding: Grounding | None = Grounding()
        self._answers = False  # whether some sentence was grounded
        self._sentence: list[int] = []  # tokens of the one that is being made
        self._held: list[tuple[float, float]] = []  # of tokens that may be of a thought

    def take(self, token: int, behind: float, without: float) -> None:
        """The next token and its log-probability after the passages, and without them."""
        self._held.append((behind, without))
        self._settle(Settled((token,)) if self._splitter is None else self._splitter.push(token))

    def end(self) -> None:
        """The model has ended its answer."""
        if self._splitter is not None:
            self._settle(self._splitter.flush())
        if self._grounding is not None and self._grounding.is_open:
            self._give_up()

    def _settle(self, settled: Settled) -> None:
        if settled.thought:
            self._held = []
            if settled.said.strip():
                self._grounding, self.verdict = None, "answers"
            return
        for token in settled.ids:
            behind, without = self._held.pop(0)
            if self._grounding is not None and not self.is_over:
                self._judge(self._grounding, token, behind, without)

    def _judge(self, grounding: Grounding, token: int, behind: float, without: float) -> None:
        begins = self._finder.begins_sentence(self._sentence, token)
        self._sentence = [token] if begins else [*self._sentence, token]
        grounding.take(behind, without, begins=begins)
        self._answers = self._answers or not grounding.is_open
        self.verdict = "open" if grounding.is_open else "answers"
        if grounding.is_hopeless:
            self._give_up()

    def _give_up(self) -> None:
        """No more tokens are waited for; those since the last sentence that is grounded are left open."""
        self.is_over = True
        if not self._answers:
            self.verdict = "ungrounded"
