"""What answers are measured against: the sentence that a plain search finds, and no answer at all.

The search is BM25 (Robertson and Zaragoza 2009) over the library's own text, by bm25s, which is an extra.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

import numpy as np

from tscli.engine.session import Session
from tscli.errors import UsageError
from tscli.evaluation.questions import Question, QuestionReport, scored

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")


def best_sentences(session: Session, questions: Iterable[Question]) -> QuestionReport:
    """Each question answered by the sentence that BM25 ranks first; UsageError without bm25s."""
    try:
        import bm25s
    except ImportError as error:
        raise UsageError('the baseline needs bm25s: pip install "tscli[baselines]"') from error
    places = _sentences(session)
    index = bm25s.BM25()
    index.index(bm25s.tokenize([text for text, _, _ in places], stopwords="en", show_progress=False), show_progress=False)
    answers = []
    for question in questions:
        started = time.perf_counter()
        words = bm25s.tokenize(question.question, stopwords="en", show_progress=False)
        found, _ = index.retrieve(words, k=1, show_progress=False)
        text, file, page = places[int(found[0, 0])]
        answers.append(scored(question, text, file, page, time.perf_counter() - started))
    return QuestionReport(tuple(answers))


def no_answers(questions: Iterable[Question]) -> QuestionReport:
    """Each question refused."""
    return QuestionReport(tuple(scored(question, "", None, None, 0.0) for question in questions))


def _sentences(session: Session) -> list[tuple[str, str, int]]:
    """Text, file and page of every sentence of the library, from its tokens."""
    context, found = session.context, []
    inside = np.flatnonzero((context.document >= 0) & (context.page > 0))
    keys = np.stack([context.document[inside], context.page[inside]])
    starts = np.flatnonzero(np.any(np.diff(keys, axis=1) != 0, axis=0)) + 1
    for tokens in np.split(inside, starts):
        text = session.tokenizer.decode(context.token_ids[tokens].tolist())
        file, page = context.documents[int(context.document[tokens[0]])].path, int(context.page[tokens[0]])
        found += [(" ".join(s.split()), file, page) for s in SENTENCE_END.split(text) if s.strip()]
    return found
