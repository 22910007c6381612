"""The answers to a file of questions so far, by any of several methods, so that an interrupted run goes on where it was.

Knows open sessions and what of them decides an answer; the file itself is `journal`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tscli
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.answer.session import Session
from tscli.evaluation.journal import Journal
from tscli.evaluation.questions import Question, ScoredAnswer
from tscli.tokens import Context

DIGITS = 12  # of a hash that an error shows


@dataclass(frozen=True)
class KeptAnswer:
    """An answer by a method, by the name that the report has for it."""

    method: str
    answer: ScoredAnswer

    @property
    def key(self) -> Hashable:
        """What tells it from the other answers of an evaluation."""
        return self.method, self.answer.question

    def record(self) -> dict[str, Any]:
        """As it is kept in a file."""
        return {"method": self.method, **asdict(self.answer)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> KeptAnswer:
        """As it was kept."""
        fields = dict(record)
        method, asked = str(fields.pop("method")), fields.pop("question")
        return cls(method, ScoredAnswer(Question(**{**asked, "more": tuple(asked["more"])}), **fields))


class AnswerJournal:
    """The answers of an evaluation, kept in a file as they are made.

    settings: as `answer_settings` has them. UsageError for a file that was made with others, or holds something else.
    """

    def __init__(self, file: Path, settings: Mapping[str, Any]) -> None:
        self._journal = Journal(file, settings, KeptAnswer)

    def __len__(self) -> int:
        return len(self._journal.entries)

    def by(self, method: str) -> MethodAnswers:
        """Those by this method."""
        return MethodAnswers(self._journal, method)


@dataclass(frozen=True)
class MethodAnswers:
    """The answers by one method that a journal holds and gets; fulfils `questions.Kept`."""

    journal: Journal[KeptAnswer]
    method: str

    def get(self, question: Question) -> ScoredAnswer | None:
        """The answer to this question; None where it was not asked yet."""
        kept = self.journal.entries.get((self.method, question))
        return kept.answer if kept else None

    def add(self, answer: ScoredAnswer) -> None:
        """Keep an answer; it is in the file when this returns."""
        self.journal.add(KeptAnswer(self.method, answer))


def answer_settings(session: Session, questions: Sequence[Question], *, think: bool, any_kind: bool = False) -> dict[str, Any]:
    """All that decides what this session answers to these questions, and how fast.

    any_kind: of documents; for evaluations that ask libraries of several kinds and have the kind in their methods' names.
    """
    decoder, strategy = session.decoder, session.strategy
    prints = [stored.manifest.fingerprint for stored in session.opened.libraries]
    prefill = [{name: value for name, value in one.prefill.items() if name != "documents" or not any_kind} for one in prints]
    heads = strategy.retrieval_heads.record() if isinstance(strategy, RetrievalStrategy) else None
    return {
        "tscli": tscli.__version__,
        "questions": _digest([asdict(question) for question in questions]),
        "documents": _content(session.context),
        "prefill": prefill,
        "kv_dtype": [one.pages_dtype for one in prints],
        "prefill_weights": [one.weights_name for one in prints],
        "model": decoder.hash,
        "tokenizer": session.tokenizer.hash,
        "dtype": decoder.dtype_name,
        "device": decoder.device.type,
        "weights": decoder.weights_name,
        "answer_bits": list(decoder.few_bits),
        **vars(session.config),
        "question": strategy.question_mode,
        "retrieval_heads": heads and _digest(heads),
        "dense": strategy.is_dense,
        "think": think,
    }


def _content(context: Context) -> str:
    """Of the documents' names, tokens and pages, in the order in which they are attended."""
    arrays = [context.token_ids, context.document, context.page]
    digest = hashlib.sha256(json.dumps([[one.path, one.title] for one in context.documents]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<i4").tobytes())
    return digest.hexdigest()[:DIGITS]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]
