"""`tscli ask -f questions.txt -o answers.jsonl`: many questions to one open library; resumes where it stopped."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscli.cli.exit_codes import FULL
from tscli.cli.output import Settings, as_json, counted, duration, progress, safe, say
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import Answer

SHOWN = 40  # characters of a question that cannot be asked
AnswerAll = Callable[[list[str]], Iterator["Answer"]]  # the answers in the questions' order, as they are made


def read_questions(file: Path) -> list[str]:
    """The questions of a text file, a line each, or of JSON lines, under "question"; UsageError names a line that has none."""
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: cannot be read ({getattr(error, 'strerror', None) or error}); name a text file with -f"
        ) from error
    if file.suffix in (".jsonl", ".json"):
        found = [_question(f"{file}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip()]
    else:
        found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise UsageError(f"{file}: no questions; write one on each line")
    return found


def check_questions(questions: list[str], check: Callable[[str], object]) -> None:
    """UsageError, before any is asked, for one that cannot be."""
    for question in questions:
        try:
            check(question)
        except UsageError as error:
            raise UsageError(f'"{safe(question[:SHOWN])}...": {error}') from error


def ask_many(
    settings: Settings, questions: list[str], ask: AnswerAll, output: Path | None, line: Callable[[Answer], Any]
) -> None:
    """Ask the questions and print a line of JSON for each, or append it to `output`; what that answers is not asked again.

    Totals go to stderr.
    """
    done = _answered(output) if output else set()
    left = [question for question in dict.fromkeys(questions) if question not in done]
    started, made, answers = time.perf_counter(), 0, ask(left)
    with progress(settings) as on_progress:
        for number, question in enumerate(left):
            on_progress(f"question {number + 1} of {len(left)}", number, len(left))
            answer = next(answers)
            made += answer.statistics.generated_tokens
            _write(output, as_json({"question": question, **line(answer)}))
        if left:
            on_progress(f"question {len(left)} of {len(left)}", len(left), len(left))
    seconds = time.perf_counter() - started
    kept = f", {counted(len(done), 'question')} answered before" if done else ""
    rate = f"; {seconds / len(left):.2f} s a question, {counted(made, 'token')} generated" if left else ""
    say(settings, f"{counted(len(left), 'question')} answered in {duration(seconds)}{rate}{kept}")


def _write(output: Path | None, line: str) -> None:
    if output is None:
        print(line)
        sys.stdout.flush()
        return
    try:
        with output.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        if error.errno in FULL:
            raise
        raise UsageError(f"{output}: cannot be written ({error.strerror}); name another file with -o") from error


def _answered(output: Path) -> set[str]:
    """The questions that a file of answers holds. A last line that was cut off is removed; UsageError for any other file."""
    try:
        text = output.read_bytes().decode()
    except FileNotFoundError:
        return set()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{output}: cannot be read ({getattr(error, 'strerror', None) or error}); name another file with -o"
        ) from error
    whole = text[: text.rfind("\n") + 1]
    try:
        found = {str(json.loads(line)["question"]) for line in whole.split("\n") if line}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{output}: holds something other than answers; name another file with -o") from error
    if whole != text:
        if not text[len(whole) :].startswith('{"question"'):
            raise UsageError(f"{output}: holds something other than answers; name another file with -o")
        os.truncate(output, len(whole.encode()))  # never written anew: what it holds may have taken hours
    return found


def _question(place: str, line: str) -> str:
    try:
        question = json.loads(line)["question"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f'{place}: must be a JSON object with a "question"') from error
    if not isinstance(question, str) or not question.strip():
        raise UsageError(f'{place}: "question" is {safe(repr(question))}; it must be a text')
    return question.strip()
