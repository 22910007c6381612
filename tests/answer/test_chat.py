"""Conversations with a small random model: turns follow each other as if they had been one prompt; the documents stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import TURNS
from tscli.errors import UsageError, WindowFull
from tscli.model.selectors import FixedSelector
from tscli.tokens import Prompt

FIRST, SECOND, THIRD = "Where does the stone stand?", "And the other?", "Who says so?"


@pytest.fixture(scope="module")
def talking_model(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with a chat template that has turns."""
    folder = tmp_path_factory.mktemp("talking") / "model"
    shutil.copytree(small_model, folder)
    (folder / "chat_template.jinja").write_text(TURNS)
    return folder


@pytest.fixture
def open_session(talking_model: Path, write_documents: Callable[..., Path]) -> Iterator[Callable[..., tscli.Session]]:
    load = tscli.LoadOptions(str(talking_model), dtype="float32", device="cpu")
    tscli.prepare([write_documents()], load=load).run()
    tscli.prepare([write_documents("few", words=10, files=("a.txt",))], "short", load=load).run()
    opened: list[tscli.Session] = []

    def make(library: str = "default", **options: object) -> tscli.Session:
        opened.append(tscli.open_library(library, load, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def say(chat: tscli.Chat | tscli.Session, question: str, tokens: int = 8) -> tscli.Answer:
    stream = chat.ask(question, max_new_tokens=tokens)
    list(stream)
    return stream.answer


def test_a_follow_up_is_answered_as_if_all_turns_had_been_one_prompt(open_session: Callable[..., tscli.Session]) -> None:
    session = open_session("short", dense=True)
    chat = session.chat()
    first, second = say(chat, FIRST), say(chat, SECOND)
    template, tokenizer = session.template, session.tokenizer
    prompt = [
        *template.question_ids(tokenizer, FIRST),
        *first.token_ids,
        *template.question_ids(tokenizer, SECOND, follow_up=True),
    ]
    asked = Prompt(tuple(prompt), 0, len(prompt))
    whole = session.stream(session.strategy, SECOND, asked, 8, tscli.answer.decode.Sampling())
    list(whole)
    assert second.token_ids == whole.answer.token_ids
    assert chat.tokens == len(prompt) + len(second.token_ids)
    assert say(session, SECOND).token_ids != second.token_ids  # the follow-up did see what came before


@pytest.mark.parametrize("mode", ["token", "chunk", "two_pass"])
def test_the_first_answer_is_that_of_ask_and_no_document_token_is_run_again(
    open_session: Callable[..., tscli.Session], mode: str
) -> None:
    session = open_session(question_mode=mode)
    chat = session.chat()
    assert say(chat, FIRST, 4).token_ids == say(session, FIRST, 4).token_ids
    for question in (SECOND, THIRD):
        statistics = say(chat, question).statistics
        assert statistics.recomputed_tokens == 0
        assert statistics.cached_tokens == session.context.token_ids.shape[0]


def test_all_of_the_conversation_is_attended_beside_the_selection(open_session: Callable[..., tscli.Session]) -> None:
    session = open_session()
    chat = session.chat()
    say(chat, FIRST, 40)
    spoken = chat.tokens
    statistics = say(chat, SECOND, 1).statistics
    assert spoken > session.config.n_local == 16
    asked = statistics.prompt_tokens + spoken - 1  # the first answer's last token is run with the second question
    assert statistics.attended_mean == 4 + 48 + asked


def test_neither_ask_nor_another_chat_sees_a_conversation(open_session: Callable[..., tscli.Session]) -> None:
    session = open_session()
    alone = say(session, SECOND).token_ids
    chat, other = session.chat(), session.chat()
    say(chat, FIRST)
    assert say(session, SECOND).token_ids == say(other, SECOND).token_ids == alone


def test_reset_begins_anew(open_session: Callable[..., tscli.Session]) -> None:
    chat = open_session().chat()
    first = say(chat, FIRST)
    say(chat, SECOND)
    chat.reset()
    assert chat.tokens == 0
    assert say(chat, FIRST).token_ids == first.token_ids


@pytest.mark.parametrize(("library", "dense"), [("short", True), ("default", False)])
def test_an_answer_that_is_stopped_stays_as_far_as_it_got(
    open_session: Callable[..., tscli.Session], library: str, dense: bool
) -> None:
    session = open_session(library, dense=dense)
    chat, same = session.chat(), session.chat()
    stream = chat.ask(FIRST, max_new_tokens=20)
    pieces = iter(stream)
    while len(stream.token_ids) < 4:
        next(pieces)
    pieces.close()
    say(same, FIRST, len(stream.token_ids))
    assert chat.tokens == same.tokens
    assert say(chat, SECOND).token_ids == say(same, SECOND).token_ids


def test_a_question_that_is_interrupted_while_it_is_read_was_not_asked(
    open_session: Callable[..., tscli.Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(question_mode="two_pass")
    chat, same = session.chat(), session.chat()
    say(chat, FIRST), say(same, FIRST)
    spoken, forward = chat.tokens, session.decoder.forward_rows

    def interrupted(token_ids: object, run: tscli.model.attention.Attention, rows: object) -> object:
        if isinstance(run.selector, FixedSelector):
            raise KeyboardInterrupt
        return forward(token_ids, run, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(session.decoder, "forward_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        say(chat, THIRD)
    monkeypatch.undo()
    assert chat.tokens == spoken
    assert say(chat, SECOND).token_ids == say(same, SECOND).token_ids


def test_a_full_window_is_an_error_that_says_reset_and_nothing_is_cut(open_session: Callable[..., tscli.Session]) -> None:
    chat = open_session().chat()
    say(chat, FIRST)
    spoken = chat.tokens
    with pytest.raises(WindowFull, match=r"/reset"):
        chat.ask(SECOND, max_new_tokens=chat.room - spoken)
    assert chat.tokens == spoken
    chat.reset()
    with pytest.raises(WindowFull, match="more than fit in the model's window"):
        chat.ask(FIRST, max_new_tokens=chat.room)
    assert say(chat, FIRST).token_ids


def test_an_answer_put_off_until_the_conversation_has_gone_on_is_refused(open_session: Callable[..., tscli.Session]) -> None:
    chat = open_session().chat()
    late = chat.ask(FIRST, max_new_tokens=4)
    say(chat, SECOND)
    with pytest.raises(UsageError, match="moved on"):
        list(late)
    running = iter(chat.ask(THIRD, max_new_tokens=20))
    next(running)
    with pytest.raises(UsageError, match="streaming"):
        chat.ask(FIRST)
    with pytest.raises(UsageError, match="streaming"):
        chat.reset()


def test_of_two_questions_that_were_put_off_only_the_later_one_is_answered(open_session: Callable[..., tscli.Session]) -> None:
    session = open_session()
    chat, same = session.chat(), session.chat()
    older, newer = chat.ask(FIRST, max_new_tokens=4), chat.ask(SECOND, max_new_tokens=4)
    with pytest.raises(UsageError, match="moved on"):
        list(older)
    list(newer)
    assert newer.answer.token_ids == say(same, SECOND, 4).token_ids
    assert chat.tokens == same.tokens
    assert say(chat, THIRD).token_ids == say(same, THIRD).token_ids


def test_a_closed_session_says_so(open_session: Callable[..., tscli.Session]) -> None:
    session = open_session()
    chat, stream = session.chat(), session.ask(FIRST)
    pieces = iter(session.ask(SECOND, max_new_tokens=20))
    next(pieces)
    session.close()
    asked = (lambda: next(pieces), lambda: list(stream), lambda: session.ask(FIRST), lambda: chat.ask(FIRST), session.chat)
    for ask in asked:
        with pytest.raises(UsageError, match="has been closed"):
            ask()


def test_where_the_template_has_no_turns_each_question_is_asked_by_itself(
    small_model: Path, write_documents: Callable[..., Path]
) -> None:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library(load=load) as session:
        chat = session.chat()
        assert not chat.follows_up
        assert say(chat, FIRST).token_ids == say(chat, FIRST).token_ids == say(session, FIRST).token_ids
        assert chat.tokens == 0
