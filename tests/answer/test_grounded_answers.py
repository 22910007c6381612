"""An answer is shown from where it says something of its passages; one that never does is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tscli
from tests.answer.test_chat import say
from tests.answer.test_retrieval_strategy import give_passages
from tests.answer.voting_model import answer, save_voting_model
from tscli.answer import answer_judge
from tscli.answer.decode import Sampler
from tscli.answer.grounding import Begins
from tscli.answer.stream import NOT_FOUND, UNGROUNDED

WriteDocuments = Callable[..., Path]


@pytest.fixture
def load(small_model: Path, tmp_path: Path) -> tscli.LoadOptions:
    return save_voting_model(small_model, tmp_path / "voting")


@pytest.fixture
def library(load: tscli.LoadOptions, write_documents: WriteDocuments) -> str:
    tscli.prepare([write_documents(words=200)], "voted", load).run()
    return "voted"


class Judge:
    """Finds an answer grounded from its so many-th token on, but not what follows from another one on. Waits for five."""

    grounded_at = 3
    nothing_from = 99

    def __init__(self) -> None:
        self.taken = 0

    def take(self, behind: float, without: float, *, begins: Begins) -> None:
        assert behind <= 0.0
        assert without <= 0.0
        assert begins != Begins.CLAUSE
        self.taken += 1

    def end_clause(self) -> None:
        pass

    @property
    def grounded(self) -> int:
        return min(self.taken, self.nothing_from - 1) if self.taken >= self.grounded_at else 0

    @property
    def is_over(self) -> bool:
        return self.taken >= 5 and self.grounded < self.taken


def test_an_answer_is_shown_from_where_it_says_something_of_the_passages(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tscli.open_library(library) as session:
        asked = answer(session)
        monkeypatch.setattr(answer_judge, "Grounding", Judge)
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
    monkeypatch.setattr(answer_judge, "Grounding", Judge)
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
        monkeypatch.setattr(answer_judge, "Grounding", Judge)
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


def test_a_further_clause_is_shown_when_it_has_ended(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clause(Judge):
        """One further clause, of the fourth and the fifth token."""

        @property
        def grounded(self) -> int:
            return 3 if 3 <= self.taken < 5 else self.taken

        is_over = False

    with tscli.open_library(library) as session:
        whole = answer(session)
        monkeypatch.setattr(answer_judge, "Grounding", Clause)
        stream = session.ask("Where is the stone?", max_new_tokens=6)
        pieces = [stream.push(token) for token in session.engine.answer(stream.begin())]
        stream.finish()
    held = session.tokenizer.decode(whole.token_ids[3:5])
    assert pieces[3:5] == ["", held]
    assert stream.answer.text == whole.text
    assert len(stream.answer.attribution) == 6
    assert stream.answer.sources == whole.sources


def test_sources_are_those_of_what_is_shown(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give_passages(monkeypatch, 3)
    with tscli.open_library(library) as session:
        whole, same = (say(session, "Where is the stone?", tokens) for tokens in (6, 3))
        monkeypatch.setattr(answer_judge, "Grounding", Judge)
        monkeypatch.setattr(Judge, "nothing_from", 4)
        found = answer(session)
    assert found.token_ids == same.token_ids
    assert found.sources == same.sources != whole.sources


def test_what_is_cut_before_it_could_say_anything_is_shown_as_it_is(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_judge, "Grounding", Judge)
    with tscli.open_library(library) as session:
        stream = session.ask("Where is the stone?", max_new_tokens=2)
        text = "".join(stream)
    assert text.strip() == stream.answer.text
    assert len(stream.answer.token_ids) == 2


def test_an_answer_that_has_as_many_tokens_as_are_waited_for_is_none_either(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_judge, "Grounding", Judge)
    monkeypatch.setattr(Judge, "grounded_at", 99)
    with tscli.open_library(library) as session:
        stream = session.ask("Where is the stone?", max_new_tokens=5)
        assert "".join(stream) == UNGROUNDED
    assert stream.answer.token_ids == []


def test_the_token_that_ends_an_answer_says_nothing(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tscli.open_library(library) as session:
        session.strategy.end_ids = frozenset()
        whole = answer(session).token_ids
        session.strategy.end_ids = frozenset(whole[2:3])
        monkeypatch.setattr(answer_judge, "Grounding", Judge)
        monkeypatch.setattr(Judge, "grounded_at", 1 + whole.index(whole[2]))
        assert answer(session).text == UNGROUNDED


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the stone", UNGROUNDED),
        ("<think>\n</think>the stone", UNGROUNDED),  # an empty thought is none
        ("<think>the harbour master is here</think>the stone", "the stone"),  # behind a thought nothing is judged
    ],
)
def test_a_model_that_may_think_is_judged_where_it_does_not(
    library: str, monkeypatch: pytest.MonkeyPatch, said: str, shown: str
) -> None:
    monkeypatch.setattr(answer_judge, "Grounding", Judge)
    monkeypatch.setattr(Judge, "grounded_at", 99)
    with tscli.open_library(library) as session:
        session.template = replace(session.template, marks=("<think>", "</think>"))
        wanted = session.tokenizer.encode_template(f"{said}<eos>")
        monkeypatch.setattr(Sampler, "next_token", lambda *_: wanted.pop(0))
        stream = session.ask("Where is the stone?", max_new_tokens=99)
        text = "".join(stream)
    assert text == stream.answer.text == shown


def test_an_answer_that_was_none_leaves_a_conversation_as_it_was(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tscli.open_library(library) as session:
        chat, same = session.chat(), session.chat()
        monkeypatch.setattr(answer_judge, "Grounding", Judge)
        monkeypatch.setattr(Judge, "grounded_at", 99)
        assert say(chat, "Where is the stone?", 6).text == UNGROUNDED
        assert chat.tokens == 0
        assert say(chat, "Where is the stone of Ockwick?", 6).text.startswith(NOT_FOUND)
        assert say(chat, "And the bell?", 6).text == UNGROUNDED  # nothing was said that it could answer from
        monkeypatch.setattr(Judge, "grounded_at", 3)
        assert say(chat, "And the bell?", 6).token_ids == say(same, "And the bell?", 6).token_ids
        assert chat.tokens == same.tokens > 0


def test_a_conversation_holds_what_was_shown_of_an_answer(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tscli.open_library(library) as session:
        session.template = replace(session.template, lead="According to the text,")
        chat, same = session.chat(), session.chat()
        say(same, "Where is the stone?", 3)
        monkeypatch.setattr(answer_judge, "Grounding", Judge)
        monkeypatch.setattr(Judge, "nothing_from", 4)
        assert len(say(chat, "Where is the stone?", 6).token_ids) == 3
        assert chat.tokens == same.tokens
        assert say(chat, "And the bell?", 5).token_ids == say(same, "And the bell?", 5).token_ids


@pytest.mark.parametrize(("interrupted_at", "kept"), [(2, 0), (4, 3)])
def test_what_nobody_saw_of_an_interrupted_answer_is_in_no_conversation(
    library: str, monkeypatch: pytest.MonkeyPatch, interrupted_at: int, kept: int
) -> None:
    monkeypatch.setattr(answer_judge, "Grounding", Judge)
    monkeypatch.setattr(Judge, "nothing_from", 4)
    made, choose = list[int](), Sampler.next_token

    def next_token(self: Sampler, scores: torch.Tensor) -> int:
        if len(made) == interrupted_at:
            raise KeyboardInterrupt
        made.append(choose(self, scores))
        return made[-1]

    with tscli.open_library(library) as session:
        chat = session.chat()
        stream = chat.ask("Where is the stone?", max_new_tokens=6)
        monkeypatch.setattr(Sampler, "next_token", next_token)
        with pytest.raises(KeyboardInterrupt):
            list(stream)
        assert chat.tokens == (len(stream.prompt_ids) + kept if kept else 0)
