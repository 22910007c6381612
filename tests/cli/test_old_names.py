"""Flags and values by the names that they had in the version before: they work, and a note says what they are called now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tscli
from tscli import internals
from tscli.answer.token_select_strategy import checked_mode
from tscli.cli.app import run
from tscli.cli.old_names import with_new_names
from tscli.errors import LibraryError


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The question mode that `ask` opens libraries with; none is opened."""
    modes: list[Any] = []

    def open_library(*arguments: Any, **how: Any) -> None:
        modes.append(how["question_mode"])
        raise LibraryError("not now")

    monkeypatch.setenv("TSCLI_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("")
    monkeypatch.setattr(tscli, "open_library", open_library, raising=False)
    monkeypatch.setattr(internals, "library_model", lambda _: tscli.LoadOptions("reader"), raising=False)
    return modes


@pytest.mark.parametrize("old", [["--together", "2"], ["--together=2"]])
def test_together_is_the_batch_size(old: list[str], opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "Who?", *old]) == 2
    note, error = capsys.readouterr().err.splitlines()
    assert note == "note: --together is called --batch-size now; the next version drops the old name"
    assert "--batch-size goes with -f" in error
    assert opened == []


def test_check_is_ablate(opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "Who?", "--check"]) == 4
    assert "note: --check is called --ablate now" in capsys.readouterr().err
    assert opened == [None]


def test_a_quiet_run_hears_nothing_of_it(opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "Who?", "--check", "--question", "twice", "--quiet"]) == 4
    assert "note:" not in capsys.readouterr().err
    assert opened == ["two_pass"]


def test_what_stands_behind_a_double_dash_is_no_flag(opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "--", "--check"]) == 4
    assert "note:" not in capsys.readouterr().err


@pytest.mark.parametrize("place", ["flag", "environment", "file"])
def test_a_question_read_twice_is_read_in_two_passes(
    place: str, opened: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if place == "environment":
        monkeypatch.setenv("TSCLI_QUESTION", "twice")
    if place == "file":
        (tmp_path / "config.toml").write_text("question = 'twice'")
    assert run(["ask", "Who?", *(["--question", "twice"] if place == "flag" else [])]) == 4
    shown = capsys.readouterr().err
    assert {"flag": "--question is called --question-mode", "environment": "TSCLI_QUESTION is called TSCLI_QUESTION_MODE"}.get(
        place, "config.toml: question is called question_mode"
    ) in shown
    assert 'note: question mode "twice" is called "two_pass" now' in shown
    assert opened == ["two_pass"]


def test_the_present_names_are_said_nothing_of(opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "Who?", "--ablate", "--question-mode", "two_pass"]) == 4
    assert "note:" not in capsys.readouterr().err
    assert opened == ["two_pass"]


def test_a_models_own_question_mode_may_be_called_as_before() -> None:
    assert checked_mode("twice") == "two_pass"


def test_where_is_path(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["where"]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(home)
    assert shown.err == "note: tscli where is called tscli path now; the next version drops the old name\n"


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (
            ["eval", "-l", "lib", "--questions", "q.jsonl", "--limit", "1"],
            ["eval", "questions", "q.jsonl", "-l", "lib", "--limit", "1"],
            "tscli eval --questions is called tscli eval questions",
        ),
        (
            ["eval", "--questions=q.jsonl"],
            ["eval", "questions", "q.jsonl"],
            "tscli eval --questions is called tscli eval questions",
        ),
        (
            ["eval", "--tasks", "passkey", "--length", "1k"],
            ["eval", "tasks", "--tasks", "passkey", "--length", "1k"],
            "tscli eval --length is called tscli eval tasks",
        ),
        (
            ["bench", "--length", "8k", "--attention", "-r", "1"],
            ["bench", "attention", "--length", "8k", "-r", "1"],
            "tscli bench --attention is called tscli bench attention",
        ),
    ],
)
def test_flags_that_became_commands_are_those(old: list[str], new: list[str], note: str) -> None:
    renamed, notes = with_new_names(old)
    assert renamed == new
    assert notes == [f"note: {note} now; the next version drops the old name"]


@pytest.mark.parametrize(
    "present", [["eval", "tasks", "--length", "1k"], ["bench", "--length", "8k"], ["eval", "--help"], ["list"], []]
)
def test_commands_by_their_present_names_stay(present: list[str]) -> None:
    assert with_new_names(present) == (present, [])
