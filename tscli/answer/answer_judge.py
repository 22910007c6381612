"""Judges an answer's tokens as they are chosen: which of them are of the answer, and how many of these are grounded so far.

Thoughts are not judged. After a thought that says something, nothing is: the model answers from it, with passages or without.
The token that ends an answer says nothing. Nor does one of the question's ground an answer: "the judge at the Apple Day was the
judge of the Apple Day" may be likelier after a passage (see `QuestionTokens`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tscli.answer.grounding import Begins, Grounding
from tscli.answer.question_tokens import QuestionTokens
from tscli.tokens import Settled, ThoughtSplitter, Tokenizer
from tscli.tokens.sentences import sentence_end

CLAUSE_ENDS = (",", ";")


class AnswerJudge:
    """grounded: how many of the answer's tokens are, None where they are not judged. is_over: no more of them are waited for.
    is_none: nor is any of them grounded."""

    def __init__(self, tokenizer: Tokenizer, splitter: ThoughtSplitter | None, question_ids: Sequence[int] = ()) -> None:
        """splitter: tells thoughts from the answer; None where there are none."""
        self.is_over = False
        self._tokenizer = tokenizer
        self._asked = QuestionTokens(tokenizer, question_ids)
        self._splitter = splitter
        self._grounding: Grounding | None = Grounding()
        self._sentence: list[int] = []  # tokens of the one that is being made
        self._text = ""  # and its text
        self._comma: tuple[float, float] | None = None  # of the latest token, if it ends with one
        self._held: list[tuple[float, float]] = []  # of tokens that may be of a thought

    @property
    def grounded(self) -> int | None:
        """See the class."""
        return None if self._grounding is None else self._grounding.grounded

    @property
    def is_none(self) -> bool:
        """See the class."""
        return self.is_over and self.grounded == 0

    def take(self, token: int, behind: float, without: float) -> None:
        """The next token and its log-probability after the passages, and without them."""
        self._held.append((behind, without))
        self._settle(Settled((token,)) if self._splitter is None else self._splitter.push(token))

    def end(self, *, cut: bool = False) -> None:
        """The model has ended its answer; cut: it would go on, and may not. What says nothing yet might have, then."""
        if self._splitter is not None:
            self._settle(self._splitter.flush())
        if self._grounding is not None:
            if self._comma is not None:
                self._grounding.take(*self._comma, begins=Begins.NOTHING)
            if not cut:
                self._grounding.end_clause()
            self.is_over = self.is_over or not cut

    def _settle(self, settled: Settled) -> None:
        if settled.thought:
            self._held = []
            if settled.said.strip():
                self._grounding = None
            return
        for token in settled.ids:
            behind, without = self._held.pop(0)
            if self._grounding is not None and not self.is_over:
                self._judge(self._grounding, token, behind, without)

    def _judge(self, grounding: Grounding, token: int, behind: float, without: float) -> None:
        """A comma waits for the token after it: with a space between, a clause has begun, else a number goes on."""
        if not grounding.grounded and token in self._asked:
            behind = without
        begins = self._begins(token)
        if self._comma is not None:
            grounding.take(*self._comma, begins=Begins.CLAUSE if begins == Begins.WORD else Begins.NOTHING)
            self._comma = None
        if begins != Begins.CLAUSE and self._tokenizer.decode([token]).endswith(CLAUSE_ENDS):
            self._comma = behind, without
        else:
            grounding.take(behind, without, begins=begins)
        self.is_over = grounding.is_over

    def _begins(self, token: int) -> Begins:
        """What the next token begins, which is taken into the sentence that is being made."""
        self._sentence.append(token)
        before, text = self._text, self._tokenizer.decode(self._sentence)
        self._text = text
        if sentence_end(text) > 0:
            self._sentence, self._text = [token], self._tokenizer.decode([token])
            return Begins.CLAUSE
        return Begins.WORD if text[len(before) :][:1].isspace() else Begins.NOTHING
