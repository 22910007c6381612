"""Many at once: each gets what it would get alone; too many, those that leave, and the end of the server."""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import tscli
from tests.serve.conftest import QUESTIONS, Serving, ingest, wait_until
from tscli.answer.engine import Engine
from tscli.memory import give_back_memory

Start = Callable[..., Serving]


class Gate:
    """Holds the engine's steps while it is closed; counts how many requests each had."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._open, self.sizes, step = threading.Event(), list[int](), Engine.step
        self._open.set()

        def held(engine: Engine, requests: Any) -> Any:
            self._open.wait(60)
            self.sizes.append(len(requests))
            return step(engine, requests)

        patch.setattr(Engine, "step", held)

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def text(reply: httpx.Response) -> str:
    return str(reply.json()["choices"][0]["message"]["content"])


def test_several_at_once_get_what_each_gets_alone(serving: Start, gate: Gate) -> None:
    shelf = serving(parallel=4)
    alone = [text(shelf.ask(question)) for question in QUESTIONS]
    gate.close()
    with ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(shelf.ask, question) for question in QUESTIONS]
        wait_until(lambda: shelf.engine.going + shelf.engine.waiting == 4)
        gate.open()
        assert [text(reply.result()) for reply in replies] == alone
    assert max(gate.sizes) == 4


def test_both_ways_go_on_side_by_side(serving: Start, gate: Gate) -> None:
    shelf = serving()
    models = ("shelf", "shelf@paper")
    alone = [text(shelf.ask(QUESTIONS[0], model=model)) for model in models]
    gate.close()
    with ThreadPoolExecutor(2) as pool:
        replies = [pool.submit(shelf.ask, QUESTIONS[0], model=model) for model in models]
        wait_until(lambda: shelf.engine.going + shelf.engine.waiting == 2)
        gate.open()
        assert [text(reply.result()) for reply in replies] == alone
    assert max(gate.sizes) == 2  # one model, one pass


def test_beyond_the_queue_a_question_is_refused_and_told_when_to_come_again(serving: Start, gate: Gate) -> None:
    shelf = serving(parallel=1, queue=1)
    gate.close()
    with ThreadPoolExecutor(2) as pool:
        replies = [pool.submit(shelf.ask, QUESTIONS[0])]
        wait_until(lambda: shelf.engine.going == 1)
        replies.append(pool.submit(shelf.ask, QUESTIONS[1]))
        wait_until(lambda: shelf.engine.waiting == 1)
        for stream in (False, True):
            refused = shelf.ask(QUESTIONS[2], stream=stream)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(refused.headers["retry-after"]) >= 1
        assert "tscli_queue_length 1" in shelf.http.get("/metrics").text
        gate.open()
        assert [reply.result().status_code for reply in replies] == [200, 200]
    assert shelf.ask(QUESTIONS[2]).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(serving: Start, gate: Gate, stream: bool) -> None:
    shelf = serving(parallel=1, queue=1)
    right = text(shelf.ask(QUESTIONS[0]))
    gate.close()
    body = {"model": "shelf", "messages": [{"role": "user", "content": QUESTIONS[1]}], "stream": stream}
    leaving = httpx.Client(base_url=shelf.address)
    with pytest.raises(httpx.ReadTimeout):
        leaving.post("/v1/chat/completions", json=body, timeout=1)
    leaving.close()
    waiting = threading.Thread(target=lambda: time.sleep(0.3) or gate.open())
    waiting.start()
    assert text(shelf.ask(QUESTIONS[0])) == right
    waiting.join()
    assert shelf.engine.going == shelf.engine.waiting == 0
    left = [line for line in shelf.http.get("/metrics").text.splitlines() if line.startswith("tscli_answers_total")]
    assert left == ["tscli_answers_total 2"]  # the one that nobody waited for was not made


def test_a_client_that_leaves_while_it_waits_is_never_begun(serving: Start, gate: Gate) -> None:
    shelf = serving(parallel=1, queue=2)
    gate.close()
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(shelf.ask, QUESTIONS[0])
        wait_until(lambda: shelf.engine.going == 1)
        body = {"model": "shelf", "messages": [{"role": "user", "content": QUESTIONS[1]}], "stream": True}
        with httpx.Client(base_url=shelf.address) as leaving, pytest.raises(httpx.ReadTimeout):
            leaving.post("/v1/chat/completions", json=body, timeout=0.5)
        wait_until(lambda: shelf.engine.waiting == 0)
        gate.open()
        assert going.result().status_code == 200


def test_a_library_that_is_ingested_anew_is_picked_up_between_answers(serving: Start, documents: Path) -> None:
    shelf = serving()
    assert text(shelf.ask(QUESTIONS[0])) == "Odile Farrant"
    facts = documents / "facts.txt"
    facts.write_text(facts.read_text().replace("Odile Farrant", "Anselm Pryce"))
    ingest(documents)
    assert text(shelf.ask(QUESTIONS[0])) == "Anselm Pryce"
    tscli.remove("shelf")
    gone = shelf.ask(QUESTIONS[0])
    assert gone.status_code == 404
    ingest(documents)
    assert text(shelf.ask(QUESTIONS[0])) == "Anselm Pryce"


def test_an_answer_that_goes_on_keeps_the_state_that_it_began_with(serving: Start, documents: Path, gate: Gate) -> None:
    shelf = serving()
    shelf.ask(QUESTIONS[1])
    gate.close()
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(shelf.ask, QUESTIONS[0])
        wait_until(lambda: shelf.engine.going == 1)
        facts = documents / "facts.txt"
        facts.write_text(facts.read_text().replace("Odile Farrant", "Anselm Pryce"))
        ingest(documents)
        gate.open()
        assert text(going.result()) == "Odile Farrant"
    assert text(shelf.ask(QUESTIONS[0])) == "Anselm Pryce"


def test_a_damaged_library_is_an_error_of_its_own_questions_only(serving: Start, home: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("The clerk is Anselm Pryce.\n")
    ingest(tmp_path / "letters", "letters")
    (home / "libraries" / "letters" / "manifest.json").write_text("{}")
    shelf = serving()
    damaged = shelf.ask("Who is the clerk?", model="letters")
    assert (damaged.status_code, damaged.json()["error"]["code"]) == (503, "library_unavailable")
    assert text(shelf.ask(QUESTIONS[0])) == "Odile Farrant"
    assert len(shelf.client.models.list().data) == 4


def test_what_nobody_foresaw_is_logged_without_a_word_of_the_question(serving: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, step = serving(), Engine.step

    def broken(engine: Engine, requests: Any) -> Any:
        raise RuntimeError(f"broken by {QUESTIONS[0]}")

    monkeypatch.setattr(Engine, "step", broken)
    told = shelf.ask(QUESTIONS[0])
    assert (told.status_code, told.json()["error"]["type"]) == (500, "server_error")
    said = shelf.ask(QUESTIONS[0], stream=True).text
    assert json.loads(said.split("\n\n")[1].removeprefix("data: "))["error"]["type"] == "server_error"
    assert len(shelf.said) == 2
    assert "RuntimeError" in shelf.said[0]
    assert "harbour" not in " ".join([told.text, said, *shelf.said])
    monkeypatch.setattr(Engine, "step", step)
    assert text(shelf.ask(QUESTIONS[0])) == "Odile Farrant"


def test_at_the_end_answers_come_to_theirs_and_those_that_wait_are_told(serving: Start, gate: Gate) -> None:
    shelf = serving(parallel=1, queue=1)
    shelf.ask(QUESTIONS[0])
    gate.close()
    with ThreadPoolExecutor(2) as pool:
        going = pool.submit(shelf.ask, QUESTIONS[0], stream=True)
        wait_until(lambda: shelf.engine.going == 1)
        waiting = pool.submit(shelf.ask, QUESTIONS[1])
        wait_until(lambda: shelf.engine.waiting == 1)
        shelf.engine.drain(30)
        assert waiting.result().status_code == 503
        assert shelf.ask(QUESTIONS[2]).status_code == 503
        gate.open()
        assert going.result().text.endswith("data: [DONE]\n\n")
    shelf.stop()
    assert not shelf.engine.is_alive


def test_an_answer_that_takes_too_long_at_the_end_is_told_so(serving: Start, gate: Gate) -> None:
    shelf = serving(parallel=1)
    shelf.ask(QUESTIONS[0])
    gate.close()
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(shelf.ask, QUESTIONS[0], stream=True)
        wait_until(lambda: shelf.engine.going == 1)
        shelf.engine.drain(0)
        gate.open()
        assert "shutting down" in going.result().text
    wait_until(lambda: not shelf.engine.is_alive)


def test_what_answers_held_is_given_back_though_it_refers_to_itself() -> None:
    class Held:
        def __init__(self) -> None:
            self.own = self

    held = Held()
    gone = weakref.ref(held)
    del held
    give_back_memory()
    assert gone() is None
