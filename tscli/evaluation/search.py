"""A library's text as sentences and passages, and a plain search among them: BM25 (Robertson and Zaragoza 2009).

By bm25s, which is an extra. Knows sessions, for their tokens; asks nothing of a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tscli.answer.session import Session
from tscli.errors import UsageError

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
PASSAGE_WORDS = 96


@dataclass(frozen=True)
class Passage:
    """A stretch of a page, on one line; title is the file's, as its header line has it."""

    text: str
    file: str
    page: int
    title: str


class Search:
    """Passages by how well BM25 finds them for a question; UsageError without bm25s."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._bm25s = _bm25s()
        self.passages = passages
        self._index = self._bm25s.BM25()
        self._index.index(self._words([passage.text for passage in passages]), show_progress=False)

    def best(self, question: str, count: int) -> list[Passage]:
        """At most `count` passages, the best one first."""
        found, _ = self._index.retrieve(self._words(question), k=min(count, len(self.passages)), show_progress=False)
        return [self.passages[int(number)] for number in found[0]]

    def _words(self, text: str | list[str]) -> Any:
        return self._bm25s.tokenize(text, stopwords="en", show_progress=False)


def sentences_of(session: Session) -> list[Passage]:
    """Every sentence of the library."""
    return [Passage(text, *place) for texts, place in _pages(session) for text in texts]


def passages_of(session: Session, num_words: int = PASSAGE_WORDS) -> list[Passage]:
    """The library in passages of about so many words, none across a page's end, cut at the ends of sentences."""
    found = []
    for texts, place in _pages(session):
        held: list[str] = []
        for text in texts:
            if held and _num_words([*held, text]) > num_words:
                found.append(Passage(" ".join(held), *place))
                held = []
            held.append(text)
        found.append(Passage(" ".join(held), *place))
    return found


def _num_words(texts: Sequence[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _pages(session: Session) -> list[tuple[list[str], tuple[str, int, str]]]:
    """The sentences of every page with text, and its file, number and title, from the library's tokens."""
    context, found = session.context, []
    inside = np.flatnonzero((context.document >= 0) & (context.page > 0))
    keys = np.stack([context.document[inside], context.page[inside]])
    starts = np.flatnonzero(np.any(np.diff(keys, axis=1) != 0, axis=0)) + 1
    for tokens in np.split(inside, starts):
        text = session.tokenizer.decode(context.token_ids[tokens].tolist())
        document = context.documents[int(context.document[tokens[0]])]
        sentences = [" ".join(part.split()) for part in SENTENCE_END.split(text) if part.strip()]
        if sentences:
            found.append((sentences, (document.path, int(context.page[tokens[0]]), document.title)))
    return found


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise UsageError('the baselines need bm25s, which is not installed; run: pip install "tscli[baselines]"') from error
    return bm25s
