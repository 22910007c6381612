"""What can be asked and what answers can be drawn by; what cannot is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tscli.errors import UsageError

WriteDocuments = Callable[..., Path]


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


@pytest.mark.parametrize(("question", "complaint"), [("  ", "empty"), ("Who \udcff?", "UTF-8"), ("stone " * 5000, "window of")])
def test_what_cannot_be_asked_is_refused(
    question: str, complaint: str, load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    tscli.prepare([write_documents(words=20)], load=load).run()
    with tscli.open_library(load=load) as session:
        with pytest.raises(UsageError, match=complaint):
            session.ask(question)
        with pytest.raises(UsageError, match=complaint):
            list(session.ask_batch([question], 1))


@pytest.mark.parametrize("mode", ["token", "chunk", "two_pass"])
def test_a_question_may_be_longer_than_the_library(load: tscli.LoadOptions, write_documents: WriteDocuments, mode: str) -> None:
    tscli.prepare([write_documents(words=2, files=("a.txt",))], load=load).run()
    selection = tscli.SelectionOptions(n_local=32)
    with tscli.open_library(load=load, selection=selection, question_mode=mode) as session:  # type: ignore[arg-type]
        stream = session.ask("Where does the stone stand? " * 12, max_new_tokens=2)
        list(stream)
    statistics = stream.answer.statistics
    assert statistics.prompt_tokens > session.config.n_local > statistics.total_tokens
    assert statistics.recomputed_tokens == 0


@pytest.mark.parametrize(
    "sampling", [{"temperature": float("nan")}, {"temperature": float("inf")}, {"temperature": -1.0}, {"seed": 1 << 64}]
)
def test_what_cannot_be_drawn_by_is_refused(
    sampling: dict[str, float], load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    tscli.prepare([write_documents(words=20)], load=load).run()
    with tscli.open_library(load=load) as session, pytest.raises(UsageError, match=next(iter(sampling))):
        session.ask("Who?", **sampling)  # type: ignore[arg-type]


def test_next_to_no_temperature_is_none(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents(words=20)], load=load).run()
    answers = []
    with tscli.open_library(load=load) as session:
        for temperature in (0.0, 1e-320):
            stream = session.ask("Who?", max_new_tokens=4, temperature=temperature)
            list(stream)
            answers.append(stream.answer.token_ids)
    assert answers[0] == answers[1]
