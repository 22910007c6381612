"""Many questions from a file: read, asked once each, answers kept line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tscli.cli.ask_many import ask_many, read_questions
from tscli.cli.output import Settings
from tscli.errors import UsageError

QUIET = Settings(quiet=True, debug=False)


def ask_into(file: Path | None, *questions: str, fail_at: str = "") -> list[str]:
    """Ask with a stand-in that answers in capitals; which questions were asked."""
    asked: list[str] = []

    def ask(questions: list[str]) -> Iterator[Any]:
        for question in questions:
            if question == fail_at:
                raise KeyboardInterrupt
            asked.append(question)
            yield SimpleNamespace(text=question.upper(), statistics=SimpleNamespace(generated_tokens=2))

    ask_many(QUIET, list(questions), ask, file, lambda answer: {"answer": answer.text})
    return asked


def answers(file: Path) -> list[tuple[str, str]]:
    return [(line["question"], line["answer"]) for line in map(json.loads, file.read_text().splitlines())]


def test_an_interrupted_run_is_taken_up_and_asks_nothing_twice(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        ask_into(file, "who?", "when?", "where?", fail_at="where?")
    assert answers(file) == [("who?", "WHO?"), ("when?", "WHEN?")]
    file.write_text(file.read_text()[:-4])  # killed in the middle of a line
    assert ask_into(file, "who?", "when?", "where?", "who?") == ["when?", "where?"]
    assert answers(file) == [("who?", "WHO?"), ("when?", "WHEN?"), ("where?", "WHERE?")]
    assert ask_into(file, "who?", "where?") == []


def test_without_a_file_answers_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    ask_into(None, "who?")
    assert json.loads(capsys.readouterr().out) == {"question": "who?", "answer": "WHO?"}


@pytest.mark.parametrize("text", ["important notes\n", "important notes", '{"other": 1}\n'])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match="something other than answers"):
        ask_into(file, "who?")
    assert file.read_text() == text


def test_questions_are_lines_of_text_or_of_json(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Who?\n\n  When? \n")
    assert read_questions(tmp_path / "a.txt") == ["Who?", "When?"]
    (tmp_path / "a.jsonl").write_text('{"question": "Who?", "answer": null}\n')
    assert read_questions(tmp_path / "a.jsonl") == ["Who?"]
    (tmp_path / "a.jsonl").write_text('{"question": "Who\u2028 was\u0085 it?"}\r\n', encoding="utf-8")
    assert read_questions(tmp_path / "a.jsonl") == ["Who\u2028 was\u0085 it?"]


@pytest.mark.parametrize(
    ("line", "complaint"), [("x", "a.jsonl:1"), ('{"q": 1}', "a.jsonl:1"), ('{"question": 5}', "5"), ("", "no questions")]
)
def test_a_bad_file_of_questions_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(UsageError, match=complaint):
        read_questions(tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        read_questions(tmp_path / "absent.txt")
