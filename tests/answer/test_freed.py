"""What an answer held goes with its end, by itself: nothing of it waits for Python's collector, which comes when it likes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from weakref import WeakSet

import pytest

import tscli
from tests.answer.voting_model import HEADS
from tscli.answer.decode import Sampling
from tscli.library.kept_heads import save_retrieval_heads
from tscli.model.attention import Attention
from tscli.model.gathered import GatheredRun
from tscli.model.kv import KVState
from tscli.model.load import load_decoder

HELD = (KVState, GatheredRun, Attention)


@pytest.fixture(params=["voters", "token", "two_pass"])
def session(request: pytest.FixtureRequest, small_model: Path, write_documents: Callable[..., Path]) -> Iterator[tscli.Session]:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    save_retrieval_heads(load_decoder(load).hash, HEADS)
    tscli.prepare([write_documents(words=60)], load=load).run()
    how = {"voters": "calibrated"} if request.param == "voters" else {"question_mode": request.param}
    with tscli.open_library("default", load, **how) as opened:  # type: ignore[arg-type]
        yield opened


@pytest.fixture
def held(session: tscli.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[WeakSet[object]]:
    """All that holds keys and values of what was asked since; the collector rests."""
    found = WeakSet[object]()
    for kind in HELD:
        monkeypatch.setattr(kind, "__init__", _noted(kind.__init__, found))
    gc.collect()
    gc.disable()
    yield found
    gc.enable()


def _noted(begin: Callable[..., None], found: WeakSet[object]) -> Callable[..., None]:
    def noted(self: object, *arguments: object, **options: object) -> None:
        found.add(self)
        begin(self, *arguments, **options)

    return noted


def stream_of(session: tscli.Session) -> tscli.Stream:
    return session.ask_concurrently("Where does the stone stand?", max_new_tokens=6, sampling=Sampling())


def test_a_complete_answer_leaves_nothing_behind(session: tscli.Session, held: WeakSet[object]) -> None:
    stream = stream_of(session)
    list(stream)
    assert held  # the stream's own state
    answer = stream.answer
    del stream
    assert not list(held)
    assert answer.token_ids


def test_an_answer_that_nobody_wants_any_more_leaves_nothing_behind(session: tscli.Session, held: WeakSet[object]) -> None:
    stream = stream_of(session)
    request = stream.begin()
    request.begin()
    while not request.token_ids:
        session.engine.step([request])
    assert held
    request.end()
    del request, stream
    assert not list(held)


def test_answers_of_a_batch_go_one_by_one(session: tscli.Session, held: WeakSet[object]) -> None:
    answers = session.ask_batch(["Where?", "Who stands there?", "When?"], 2, max_new_tokens=3)
    assert len(list(answers)) == 3
    assert not list(held)
