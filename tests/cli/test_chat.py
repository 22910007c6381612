"""`tscli chat`: what is typed or piped, what is shown, and how it ends; with a stand-in for the library."""

from __future__ import annotations

import io
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tscli
from tscli import internals
from tscli.cli import ask as ask_command
from tscli.cli import chat as chat_command
from tscli.cli import prompt
from tscli.cli.app import run
from tscli.cli.output import Settings
from tscli.errors import WindowFull

LOUD = Settings(quiet=False, debug=False)


def statistics() -> tscli.Statistics:
    counts = dict.fromkeys(("cached_tokens", "prompt_tokens", "generated_tokens", "total_tokens"), 7)
    parts = ("load_s", "question_s", "first_decode_s", "ttft_s", "total_s")
    times = dict.fromkeys((*parts, "decode_tps", "selected_mean", "attended_mean", "cache_hit_rate"), 1.0)
    settings = {"k": 4, "pool": 3, "metric": "soft", "scale": "none", "theta": 0.9, "n_init": 1, "n_local": 2, "dense": False}
    rest = {"recomputed_tokens": 0, "question_mode": "token", "stop_reason": "end", "scan": "exact", "fidelity": None}
    return tscli.Statistics(**counts, **times, **settings, **rest)  # type: ignore[arg-type]


class FakeStream:
    """Answers in capitals, in two pieces; is interrupted between them, or thinks first, where the question says so."""

    def __init__(self, question: str) -> None:
        self._question = question
        self.thoughts = ""
        self.on_thought: Callable[[str], None] | None = None
        self.answer = tscli.Answer(question, question.upper(), [1], statistics(), [tscli.Source("a.txt", 3, 1.0)])

    def __iter__(self) -> Generator[str, None, None]:
        if "think" in self._question:
            self.thoughts = "it may be\x1b[2J"
            if self.on_thought is not None:
                self.on_thought(self.thoughts)
        yield self._question.upper()[:3]
        if "interrupt" in self._question:
            raise KeyboardInterrupt
        yield self._question.upper()[3:]


class FakeChat:
    """A chat whose window is full after two questions."""

    def __init__(self, follows_up: bool) -> None:
        self.follows_up = follows_up
        self.tokens, self.room = 0, 100

    def ask(self, question: str, **_: Any) -> FakeStream:
        if self.tokens >= 20:
            raise WindowFull("the window is full; /reset begins a new one")
        self.tokens += 10
        return FakeStream(question)

    def reset(self) -> None:
        self.tokens = 0


Talk = Callable[..., int]


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Runs `tscli chat` over these lines, typed or piped; the exit code. An exception is raised where a line is read."""

    def start(*typed: str | type[BaseException], piped: bool = False, follows_up: bool = True) -> int:
        context = SimpleNamespace(token_ids=np.zeros(5))
        session = SimpleNamespace(library="lib", model_name="m", context=context, chat=lambda: FakeChat(follows_up))
        monkeypatch.setattr(tscli, "open_library", lambda *_, **__: nullcontext(session), raising=False)
        monkeypatch.setattr(internals, "library_model", lambda _: tscli.LoadOptions("reader"), raising=False)
        coming = iter([*typed, EOFError])

        def read_line(_: str) -> str:
            line = next(coming)
            if not isinstance(line, str):
                raise line
            return line

        monkeypatch.setattr(chat_command, "read_line", read_line)
        monkeypatch.setattr(chat_command, "interactive", lambda: not piped)
        return run(["chat", "--no-history"])

    return start


def test_each_line_of_a_pipe_is_answered_on_stdout(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("who?", "", "  ", "where?", piped=True) == 0
    shown = capsys.readouterr()
    assert shown.out == "WHO?\nWHERE?\n"
    assert shown.err == ""


def test_a_full_window_ends_a_pipe_as_errors_do(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("a", "b", "c", "d", piped=True) == 2
    assert "/reset" in capsys.readouterr().err
    assert talk("a", "b", "/reset", "c", piped=True) == 0
    assert capsys.readouterr().out == "A\nB\nC\n"


def test_an_interrupt_ends_a_pipe(talk: Talk) -> None:
    assert talk("interrupt me", "b", piped=True) == 130


def test_whoever_types_can_go_on_after_an_error(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("a", "b", "c", "/reset", "d") == 0
    shown = capsys.readouterr()
    assert shown.out == "A\nB\nD\n"
    assert "the window is full" in shown.err
    assert "a.txt page 3 (100%)" in shown.err


@pytest.mark.parametrize("terminal", [True, False])
def test_thoughts_are_shown_apart_on_a_terminal_only(
    talk: Talk, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ask_command, "animated", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert talk("think", piped=True) == 0
    shown = capsys.readouterr()
    assert shown.out == "THINK\n"
    assert shown.err == ("\x1b[2mit may be\ufffd[2J\x1b[0m\n\n" if terminal else "")


def test_ctrl_c_stops_an_answer_and_the_next_ends_the_chat(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("interrupt me", "go on", KeyboardInterrupt, "/reset", "still", *2 * [KeyboardInterrupt], "no") == 0
    shown = capsys.readouterr()
    assert shown.out == "INT\nGO ON\nSTILL\n"
    assert "stopped" in shown.err
    assert talk("interrupt me", KeyboardInterrupt, "never") == 0
    assert capsys.readouterr().out == "INT\n"


def test_commands_show_the_last_answers_pages_and_cost_on_stderr(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("/sources", "/who", "who?", "/sources", "/stats", "/help", "/exit", "never") == 0
    shown = capsys.readouterr()
    assert shown.out == "WHO?\n"
    for words in ("/sources: there is no answer yet", "/who: unknown command", "a.txt", "10 tokens of 100", "/reset"):
        assert words in shown.err


def test_a_question_may_begin_with_a_path(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("/etc/passwd is what?") == 0
    assert capsys.readouterr().out == "/ETC/PASSWD IS WHAT?\n"


def test_that_questions_stand_alone_is_said_once(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("a", "b", "/stats", follows_up=False)
    shown = capsys.readouterr().err
    assert shown.count("no further turns") == 1
    assert "conversation" not in shown


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    readline = pytest.importorskip("readline")
    monkeypatch.setattr(prompt, "interactive", lambda: True)
    readline.clear_history()
    return readline


def test_typed_lines_are_kept_for_their_owner_only(tmp_path: Path, typed: Any) -> None:
    file = tmp_path / "chat-history"
    with prompt.line_history(LOUD, file):
        typed.add_history("who?")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    typed.clear_history()
    with prompt.line_history(LOUD, file):
        assert typed.get_history_item(1) == "who?"
        typed.add_history("where?")
    assert file.read_text() == "who?\nwhere?\n"


@pytest.mark.parametrize("kind", ["readable", "link", "no folder", "none"])
def test_they_are_not_kept_where_others_could_read_them(
    tmp_path: Path, typed: Any, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, other = tmp_path / "chat-history", tmp_path / "other"
    other.write_text("before\n")
    if kind == "readable":
        file.write_text("before\n")
        file.chmod(0o644)
    elif kind == "link":
        other.chmod(0o600)
        file.symlink_to(other)
    elif kind == "no folder":
        file = tmp_path / "absent" / "chat-history"
    with prompt.line_history(LOUD, None if kind == "none" else file):
        typed.add_history("secret")
    assert not any("secret" in path.read_text() for path in tmp_path.iterdir() if path.is_file())
    assert ("not recorded" in capsys.readouterr().err) == (kind in ("readable", "link"))


def test_lines_of_a_pipe_come_without_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("who?\nwhere?"))
    assert [prompt.read_line(""), prompt.read_line("")] == ["who?", "where?"]
    with pytest.raises(EOFError):
        prompt.read_line("")
