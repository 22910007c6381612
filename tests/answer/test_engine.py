"""Requests of either way through one engine: together or alone they get the same tokens, and states are as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import HEADS
from tscli.answer.engine import Engine, Request, Strategy
from tscli.answer.passages import PassageFinder
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.answer.token_select_strategy import TokenSelectStrategy
from tscli.errors import UsageError

QUESTIONS = ["Where does the stone stand?", "Who?", "When did it rain?"]


@pytest.fixture
def session(small_model: Path, write_documents: Callable[..., Path]) -> Iterator[tscli.Session]:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library("default", load, question_mode="token") as opened:
        yield opened


@pytest.fixture(params=["paper", "voters"])
def way(request: pytest.FixtureRequest, session: tscli.Session) -> Strategy:
    return paper(session) if request.param == "paper" else voting(session)


def paper(session: tscli.Session) -> TokenSelectStrategy:
    return TokenSelectStrategy(
        session.decoder, session.decoder.new_state(session.strategy.state.segments), session.config, "token", frozenset()
    )


def voting(session: tscli.Session) -> RetrievalStrategy:
    state, finder = (
        session.decoder.new_state(session.strategy.state.segments),
        PassageFinder(session.context, session.tokenizer),
    )
    return RetrievalStrategy(session.decoder, state, HEADS, finder, frozenset())


def test_requests_of_both_ways_go_through_the_model_together(session: tscli.Session) -> None:
    engine, makers = Engine(session.decoder), (paper, voting, paper)
    prompts = [session.prompt(question) for question in QUESTIONS]
    alone = [list(engine.answer(Request(make(session), one, 6))) for make, one in zip(makers, prompts, strict=True)]
    requests = [Request(make(session), one, 6) for make, one in zip(makers, prompts, strict=True)]
    events = list(engine.generate(requests, 3))
    assert [request.token_ids for request in requests] == alone
    assert [[token for one, token in events if one is request] for request in requests] == [[*ids, None] for ids in alone]


def test_one_pass_is_run_for_all_answers(session: tscli.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    passes, forward = list[int](), session.decoder.forward_rows
    requests = [Request(voting(session), session.prompt(question), 5) for question in QUESTIONS]
    monkeypatch.setattr(session.decoder, "forward_rows", lambda ids, *rest: passes.append(len(ids)) or forward(ids, *rest))
    for request in requests:
        request.begin()
    engine = Engine(session.decoder)
    engine.step(requests)
    passes.clear()
    assert len(engine.step(requests)) == 3
    assert len(passes) == 1


def test_an_end_token_is_no_part_of_the_answer(session: tscli.Session, way: Strategy) -> None:
    engine, prompt = Engine(session.decoder), session.prompt(QUESTIONS[0])
    whole = list(engine.answer(Request(way, prompt, 8)))
    way.end_ids = frozenset(whole[3:4])
    stop = whole.index(whole[3])
    assert list(engine.answer(Request(way, prompt, 8))) == whole[:stop]
    assert list(engine.answer(Request(way, prompt, 8, ignore_eos=True))) == whole


def test_a_request_that_is_ended_half_way_leaves_the_state_as_it_was(session: tscli.Session, way: Strategy) -> None:
    engine, prompt, length = Engine(session.decoder), session.prompt(QUESTIONS[0]), way.state.length
    whole = list(engine.answer(Request(way, prompt, 6)))
    request = Request(way, prompt, 6)
    tokens = engine.answer(request)
    assert [next(tokens), next(tokens)] == whole[:2] == request.token_ids
    with pytest.raises(UsageError, match="still streaming"):
        next(engine.answer(Request(way, prompt, 6)))
    assert way.is_busy
    tokens.close()
    assert not way.is_busy
    assert way.state.length == length
    assert list(engine.answer(Request(way, prompt, 6))) == whole


def test_a_library_may_be_closed_while_an_answer_streams(session: tscli.Session) -> None:
    pieces = iter(session.ask(QUESTIONS[0], max_new_tokens=6))
    next(pieces)
    session.close()
    pieces.close()
    assert session.strategy.state.length == 0
