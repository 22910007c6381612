"""An answer -> its evidence: citations, the support of each piece of its text, spans of weak support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tscli.answer.question_tokens import QuestionTokens
from tscli.answer.session import Session
from tscli.answer.statistics import Answer
from tscli.answer.token_attribution import TokenAttribution
from tscli.evidence.citations import Citation, cite
from tscli.evidence.instructions import instruction_near
from tscli.evidence.missing_words import missing_words
from tscli.evidence.support import WEAK, support
from tscli.tokens import Context, StreamDecoder, Tokenizer
from tscli.tokens.sentences import sentence_spans

CAVEAT = "selection is not proof of causation"


@dataclass(frozen=True)
class Piece:
    """What one or more tokens add to the answer's text, [start, end) in it.

    support: share of documents in what they attended to. drew_on: indices of citations and the share that each had.
    """

    text: str
    start: int
    end: int
    support: float
    drew_on: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Evidence:
    """What an answer attended to, and the pieces of its text with their support. The first citation is what those tokens of the
    answer's first sentence attended to most that the question does not have: what is said over again came from elsewhere, and
    later sentences may go beyond the question. The others follow by their share, highest first.

    instructions: indices of citations that read like instructions to a model, or are next to such text, with the words.
    missing_words: of the question, those that stand nowhere in the documents.
    """

    citations: tuple[Citation, ...]
    pieces: tuple[Piece, ...]
    instructions: tuple[tuple[int, str], ...] = ()
    missing_words: tuple[str, ...] = ()

    @property
    def weak(self) -> list[tuple[int, int]]:
        """Spans [start, end) of the answer's text that attended to documents for less than half; neighbours are one span."""
        spans: list[tuple[int, int]] = []
        for piece in self.pieces:
            if piece.support < WEAK and piece.text.strip():
                joins = spans and spans[-1][1] == piece.start
                spans[-1:] = [(spans[-1][0], piece.end)] if joins else [*spans[-1:], (piece.start, piece.end)]
        return spans


def find_evidence(session: Session, answer: Answer, *, top: int = 5, floor: float = 0.05) -> Evidence:
    """The evidence of an answer that this session gave: at most `top` citations, each with at least the share `floor`."""
    telling = _telling(answer, session.tokenizer)
    citations = cite(answer.attribution, session.context, session.tokenizer, top=top, floor=floor, telling=telling)
    said = ((index, instruction_near(citation, session.context, session.tokenizer)) for index, citation in enumerate(citations))
    pieces = _pieces(answer, citations, session.context, session.tokenizer)
    missing = missing_words(answer.question, session.context, session.tokenizer, lambda: session.folded_text)
    return Evidence(tuple(citations), tuple(pieces), tuple((index, words) for index, words in said if words), missing)


def _telling(answer: Answer, tokenizer: Tokenizer) -> list[TokenAttribution]:
    """Of the answer's first sentence, the tokens that say what the question does not; all of them where none does."""
    first = list(zip(answer.token_ids, answer.attribution, strict=False))[: _opening(answer, tokenizer)]
    asked = QuestionTokens(tokenizer, tokenizer.encode_text([answer.question])[0].ids.tolist())
    new = [step for token, step in first if tokenizer.decode([token]).strip().isalnum() and token not in asked]
    return new or [step for _, step in first]


def _opening(answer: Answer, tokenizer: Tokenizer) -> int:
    """How many tokens the answer's first sentence has."""
    end = next((end for _, end in sentence_spans(answer.text)), 0)
    for count in range(1, len(answer.token_ids) + 1):
        if len(tokenizer.decode(answer.token_ids[:count]).lstrip()) >= end:
            return count
    return len(answer.token_ids)


def _pieces(answer: Answer, citations: list[Citation], context: Context, tokenizer: Tokenizer) -> list[Piece]:
    """The answer's text token by token; tokens inside one character are one piece."""
    decoder, pieces, held, text = StreamDecoder(tokenizer), list[Piece](), list[TokenAttribution](), ""
    steps = list(zip(answer.token_ids, answer.attribution, strict=False))
    for number, (token, attribution) in enumerate(steps):
        held.append(attribution)
        added = decoder.push(token) + (decoder.flush() if number == len(steps) - 1 else "")
        added = added if text else added.lstrip()
        added = added[: max(0, len(answer.text) - len(text))]
        if added:
            drew_on = tuple(_shares(held, citations, context))
            mean = sum(support(step, context) for step in held) / len(held)
            pieces.append(Piece(added, len(text), len(text) + len(added), mean, drew_on))
            text, held = text + added, []
    return pieces


def _shares(steps: list[TokenAttribution], citations: list[Citation], context: Context) -> list[tuple[int, float]]:
    """Of the attention to documents' text, how much went to each citation."""
    places = np.concatenate([step.positions for step in steps])
    shares = np.concatenate([step.shares for step in steps])
    total = float(shares[context.page[places] > 0].sum()) or 1.0
    found = []
    for index, citation in enumerate(citations):
        share = float(shares[(places >= citation.start) & (places < citation.end)].sum()) / total
        if share >= 0.01:
            found.append((index, share))
    return found
