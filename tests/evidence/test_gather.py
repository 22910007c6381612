"""Evidence of a whole answer: pieces that spell it, marks of weak support, shares of citations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tscli
from tscli.answer.token_attribution import TokenAttribution
from tscli.evidence.gather import Evidence, Piece


@pytest.fixture
def session(small_model: Path, write_documents: Callable[..., Path]) -> Iterator[tscli.Session]:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library(load=load) as opened:
        yield opened


def asked(session: tscli.Session, tokens: int = 12) -> tscli.Answer:
    stream = session.ask("Where does the stone stand?", max_new_tokens=tokens)
    list(stream)
    return stream.answer


def test_the_pieces_spell_the_answer_and_draw_on_its_citations(session: tscli.Session) -> None:
    answer = asked(session)
    evidence = tscli.find_evidence(session, answer, floor=0.0)
    assert "".join(piece.text for piece in evidence.pieces) == answer.text
    assert all(answer.text[piece.start : piece.end] == piece.text for piece in evidence.pieces)
    assert 0 < len(evidence.citations) <= 5
    assert sum(citation.share for citation in evidence.citations) <= 1 + 1e-6
    assert {index for piece in evidence.pieces for index, _ in piece.drew_on} <= set(range(5))
    assert all(sum(share for _, share in piece.drew_on) <= 1 + 1e-5 for piece in evidence.pieces)


def test_a_character_of_several_tokens_is_one_piece(session: tscli.Session) -> None:
    answer = asked(session, 6)
    ids = session.tokenizer.encode_text([" a 😀"])[0].ids.tolist()
    step = TokenAttribution(np.zeros(0, np.int64), np.zeros(0, np.float32), 0.5, 0.0, 0.5)
    answer = replace(answer, token_ids=ids, text="a 😀", attribution=[step] * len(ids))
    evidence = tscli.find_evidence(session, answer)
    assert "".join(piece.text for piece in evidence.pieces) == "a 😀"
    assert len(evidence.pieces) < len(ids)
    assert evidence.weak == [(0, 3)]
    assert evidence.citations == ()


def test_weak_neighbours_are_one_span_and_spaces_alone_none() -> None:
    supports = [("not", 0.9), (" in", 0.1), (" the", 0.2), (" dark", 0.7), (" ", 0.0), ("s", 0.3)]
    pieces, at = [], 0
    for text, support in supports:
        pieces.append(Piece(text, at, at + len(text), support, ()))
        at += len(text)
    evidence = Evidence((), tuple(pieces))
    text = "".join(text for text, _ in supports)
    assert [text[start:end] for start, end in evidence.weak] == [" in the", "s"]


def test_no_answer_has_no_evidence(session: tscli.Session) -> None:
    empty = replace(asked(session, 1), token_ids=[], text="", attribution=[])
    assert replace(tscli.find_evidence(session, empty), missing_words=()) == Evidence((), ())


def test_the_first_citation_is_what_the_answer_s_new_words_drew_on(session: tscli.Session) -> None:
    inside = np.flatnonzero(session.context.page > 0)
    named, told = inside[3:5], inside[-5:-3]  # in sentences of their own
    ids = session.tokenizer.encode_text(["The stone stands", " here"])
    steps = [step_to(named) for _ in ids[0].ids] + [step_to(told) for _ in ids[1].ids]
    both = [*ids[0].ids.tolist(), *ids[1].ids.tolist()]
    answer = replace(asked(session, 4), question="The stone stands where?", token_ids=both, text="The stone stands here")
    first = tscli.find_evidence(session, replace(answer, attribution=steps), floor=0.0).citations[0]
    assert first.start <= told[0] < first.end
    repeated = replace(answer, question="The stone stands here?", attribution=steps)  # nothing new: what most of it drew on
    first = tscli.find_evidence(session, repeated, floor=0.0).citations[0]
    assert first.start <= named[0] < first.end


def step_to(positions: np.ndarray) -> TokenAttribution:
    """All of one token's attention to these."""
    return TokenAttribution(positions, np.full(len(positions), 1 / len(positions), np.float32), 0.0, 0.0, 0.0)
