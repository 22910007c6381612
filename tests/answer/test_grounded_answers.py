"""An answer is shown from where it says something of its passages; one that never does is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tscli.answer import retrieval_strategy
from tscli.answer.calibration.store import save_voters
from tscli.answer.stream import UNGROUNDED
from tscli.model.load import load_decoder
from tscli.selection.voters import Voters

WriteDocuments = Callable[..., Path]
TURNS = (
    "{{ '<bos>' }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
    "{{ '<q>' + m.content + '<a>' }}{% else %}{{ m.content + '<eos>' }}{% endif %}{% endfor %}"
)
VOTERS = Voters(((1, 0), (0, 3), (1, 2)), (0.9, 0.8, 0.7), 2, True, -9.0)


@pytest.fixture
def load(small_model: Path, tmp_path: Path) -> tscli.LoadOptions:
    """A model that brings nothing of its own along, with voters that are known."""
    folder = tmp_path / "voting"
    shutil.copytree(small_model, folder)
    brought = json.loads((folder / "tscli.json").read_text())
    (folder / "tscli.json").write_text(json.dumps({"selection": brought["selection"], "prompt": brought["prompt"]}))
    (folder / "chat_template.jinja").write_text(TURNS)
    options = tscli.LoadOptions(str(folder), dtype="float32", device="cpu")
    save_voters(load_decoder(options).hash, VOTERS)
    return options


@pytest.fixture
def library(load: tscli.LoadOptions, write_documents: WriteDocuments) -> str:
    tscli.prepare([write_documents(words=200)], "voted", load).run()
    return "voted"


def answer(session: tscli.Session, question: str = "Where is the stone?", **how: object) -> tscli.Answer:
    stream = session.ask(question, max_new_tokens=6, **how)  # type: ignore[arg-type]
    for _ in stream:
        pass
    return stream.answer


class Judge:
    """Finds an answer grounded from its so many-th token on, but not what follows from another one on."""

    grounded_at = 3
    nothing_from = 99

    def __init__(self) -> None:
        self.taken = 0

    def take(self, behind: float, without: float, *, begins: bool) -> None:
        assert behind <= 0.0
        assert without <= 0.0
        assert not begins
        self.taken += 1

    @property
    def is_open(self) -> bool:
        return not self.grounded_at <= self.taken < self.nothing_from

    @property
    def is_hopeless(self) -> bool:
        return self.is_open and self.taken >= 5


def test_an_answer_is_shown_from_where_it_says_something_of_the_passages(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tscli.open_library(library) as session:
        asked = answer(session)
        monkeypatch.setattr(retrieval_strategy, "Grounding", Judge)
        stream = session.ask("Where is the stone?", max_new_tokens=6)
        request = stream.begin()
        pieces = [stream.push(token) for token in session.engine.answer(request)]
        stream.finish()
    assert pieces[:2] == ["", ""]
    assert stream.answer.text == asked.text
    assert stream.answer.token_ids == asked.token_ids
    times = stream.answer.statistics
    assert times.held_s > 0
    assert times.ttft_s == pytest.approx(times.question_s + times.first_decode_s + times.held_s)


def test_an_answer_that_says_nothing_of_the_passages_is_none(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_strategy, "Grounding", Judge)
    monkeypatch.setattr(Judge, "grounded_at", 99)
    with tscli.open_library(library) as session:
        before = session.strategy.state.length
        found = answer(session)
        assert session.strategy.state.length == before
        cited = tscli.find_evidence(session, found).citations
    assert found.text == UNGROUNDED
    assert found.token_ids == []
    assert found.statistics.generated_tokens == 5
    assert found.statistics.thought_tokens == 0
    assert found.statistics.reading is not None
    assert not found.statistics.reading.answered
    assert found.sources
    assert cited


@pytest.mark.parametrize(("nothing_from", "wanted", "made"), [(4, 3, 5), (6, 5, 6)])  # given up; cut at the most tokens
def test_what_goes_on_behind_an_answer_and_says_nothing_is_left_out(
    library: str, monkeypatch: pytest.MonkeyPatch, nothing_from: int, wanted: int, made: int
) -> None:
    with tscli.open_library(library) as session:
        whole = answer(session)
        monkeypatch.setattr(retrieval_strategy, "Grounding", Judge)
        monkeypatch.setattr(Judge, "nothing_from", nothing_from)
        stream = session.ask("Where is the stone?", max_new_tokens=6)
        text = "".join(stream)
        found = stream.answer
    assert found.token_ids == whole.token_ids[:wanted]
    assert found.text == text.strip() == session.tokenizer.decode(found.token_ids).strip()
    assert len(found.attribution) == wanted
    assert found.statistics.generated_tokens == made
    assert found.statistics.thought_tokens == 0
    assert found.statistics.reading is not None
    assert found.statistics.reading.answered


def test_what_is_cut_before_it_could_say_anything_is_shown_as_it_is(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_strategy, "Grounding", Judge)
    with tscli.open_library(library) as session:
        stream = session.ask("Where is the stone?", max_new_tokens=2)
        text = "".join(stream)
    assert text.strip() == stream.answer.text
    assert len(stream.answer.token_ids) == 2


def test_a_conversation_goes_on_behind_an_answer_that_was_none(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_strategy, "Grounding", Judge)
    monkeypatch.setattr(Judge, "grounded_at", 99)
    with tscli.open_library(library) as session:
        chat = session.chat()
        first = chat.ask("Where is the stone?", max_new_tokens=6)
        list(first)
        second = chat.ask("And the bell?", max_new_tokens=6)
        list(second)
    assert first.answer.text == UNGROUNDED
    assert second.answer.token_ids  # what was said before may be what it answers from
