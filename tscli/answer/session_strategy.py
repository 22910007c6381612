"""What a session, its streams and its chats need from a strategy, in addition to what the engine calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tscli.answer.engine import Strategy
from tscli.answer.statistics import QuestionReading
from tscli.model.kv import KVState
from tscli.selection.guard import Guard


class SessionStrategy(Strategy, Protocol):
    """Fulfilled by `TokenSelectStrategy` and `RetrievalStrategy`."""

    @property
    def question_read(self) -> float:
        """By time.perf_counter, when the pass began that made the last answer's first token."""

    @property
    def is_dense(self) -> bool:
        """Whether all of the context is attended instead of a selection."""

    @property
    def refuses(self) -> bool:
        """Whether it may say that nothing answers a question."""

    @property
    def attends_all_said(self) -> bool:
        """Whether all of a question and its answer is attended along with what is of the documents, so that all of that must
        fit in the model's window together."""

    @property
    def grounded(self) -> int | None:
        """How many of the last answer's tokens, thoughts not counted, are known to be of the documents so far; None where that
        is not judged."""

    @property
    def is_none(self) -> bool:
        """Whether none of them is, or will be."""

    @property
    def namesake(self) -> str:
        """Whom or what a passage is about in place of what the question names, such as "Tolstow Meadows"; may be empty."""

    @property
    def log_probs(self) -> Sequence[float]:
        """Natural logarithms of the probabilities of the last answer's tokens, thoughts among them, before any contrast; none
        where they are not kept."""

    @property
    def question_mode(self) -> str:
        """How a question is read, for the statistics."""

    @property
    def scan(self) -> str:
        """How cached keys are read, for the statistics."""

    @property
    def guard(self) -> Guard:
        """What has compared approximate selections with exact ones."""

    @property
    def first(self) -> int:
        """How many of the context's first tokens are always attended."""

    @property
    def question_reading(self) -> QuestionReading | None:
        """What there is to say of how the last question was read; None where each token selects for itself."""

    @property
    def keys_scanned(self) -> float | None:
        """The share of all cached keys that the retrieval heads score for a question; None where all heads vote."""

    def own_tokens(self, prompt: int, generated: int) -> int:
        """How many tokens of the last question, which has so many, and of its answer passed through the model."""

    def most_attended(self, total: int) -> int:
        """How many tokens of the documents, which have so many, an answer attends to at most."""

    def another(self, state: KVState, conversation: bool) -> SessionStrategy:
        """One with a state of its own over the same pages; conversation: questions and answers stay in its tail."""

    def close(self) -> None:
        """Hold no pages any more."""
