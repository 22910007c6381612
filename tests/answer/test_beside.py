"""A question beside others, with the turns of a conversation before it, as a server asks it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tscli
from tests.answer.test_chat import FIRST, SECOND, say
from tests.answer.voting_model import TURNS
from tscli.answer.decode import Sampling
from tscli.errors import UsageError, WindowFull

Open = Callable[..., tscli.Session]


@pytest.fixture
def open_session(small_model: Path, tmp_path: Path, write_documents: Callable[..., Path]) -> Iterator[Open]:
    opened: list[tscli.Session] = []

    def make(turns: bool = True, **options: object) -> tscli.Session:
        folder = tmp_path / "talking" / "model"
        shutil.copytree(small_model, folder)
        if turns:
            (folder / "chat_template.jinja").write_text(TURNS)
        load = tscli.LoadOptions(str(folder), dtype="float32", device="cpu")
        tscli.prepare([write_documents(words=40)], load=load).run()
        opened.append(tscli.open_library("default", load, question_mode="token", **options))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def beside(session: tscli.Session, question: str, earlier: tuple[tuple[str, str], ...] = (), tokens: int = 8) -> tscli.Stream:
    stream = session.ask_concurrently(question, earlier, max_new_tokens=tokens, sampling=Sampling())
    list(stream)
    return stream


def test_the_answer_is_that_of_ask(open_session: Open) -> None:
    session = open_session()
    answer = beside(session, FIRST).answer
    assert answer.token_ids == say(session, FIRST).token_ids
    assert answer.statistics.recomputed_tokens == 0


def test_earlier_turns_stand_before_the_question_as_in_a_chat(open_session: Open) -> None:
    session = open_session()
    stream = beside(session, SECOND, ((FIRST, "It stands here."),))
    template, tokenizer = session.template, session.tokenizer
    before = [*template.question_ids(tokenizer, FIRST), *tokenizer.encode_text(["It stands here."])[0].ids.tolist()]
    assert stream.prompt_ids == [*before, *template.question_ids(tokenizer, SECOND, follow_up=True)]
    assert stream.prompt.spoken == len(before)
    assert stream.answer.token_ids != beside(session, SECOND).answer.token_ids
    assert stream.answer.statistics.recomputed_tokens == 0


def test_all_of_the_earlier_turns_is_attended(open_session: Open) -> None:
    session, said = open_session(), "stone " * 60
    stream = beside(session, SECOND, ((FIRST, said),), tokens=1)
    assert len(stream.prompt_ids) > 60 > session.config.n_local
    assert stream.answer.statistics.attended_mean >= len(stream.prompt_ids)


def test_without_turns_each_question_is_asked_by_itself(open_session: Open) -> None:
    session = open_session(turns=False)
    assert session.template.turn is None
    assert beside(session, SECOND, ((FIRST, "It stands here."),)).prompt_ids == session.prompt_ids(SECOND)


def test_an_answer_gets_no_longer_than_the_window_has_room_for(open_session: Open) -> None:
    session = open_session()
    window, question = session.decoder.window, len(session.prompt_ids(FIRST))
    assert (
        session.ask_concurrently(FIRST, max_new_tokens=10**9, sampling=Sampling()).begin().max_new_tokens == window - question
    )
    with pytest.raises(WindowFull, match="more than fit"):
        session.ask_concurrently("stone " * window, max_new_tokens=1, sampling=Sampling())
    with pytest.raises(UsageError, match="empty"):
        session.ask_concurrently(" ", max_new_tokens=1, sampling=Sampling())
