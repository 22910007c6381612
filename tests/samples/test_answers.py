"""What `make demo` promises, and how many of the samples' questions the embedded reader answers over all of samples/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tscli

ROOT = Path(__file__).parents[2]
QUESTIONS = [json.loads(line) for line in (ROOT / "samples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
DEMO = re.findall(r'ask --library demo.* "(.+)"', (ROOT / "Makefile").read_text(encoding="utf-8"))
# 33 of 40 on the machine that it was measured on; other processors round otherwise. Below this, something broke.
FLOOR = 29


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tscli.Session]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSCLI_HOME", str(tmp_path_factory.mktemp("home")))
        tscli.prepare([ROOT / "samples"], "samples", tscli.LoadOptions("reader")).run()
        with tscli.open_library("samples") as opened:
            yield opened


def ask(session: tscli.Session, question: str) -> tscli.Answer:
    stream = session.ask(question, max_new_tokens=24)
    for _ in stream:
        pass
    return stream.answer


def is_right(answer: str, expected: str) -> bool:
    return answer.strip().rstrip(".").casefold() == expected.casefold()


def test_the_demo_asks_three_questions() -> None:
    assert len(DEMO) == 3


@pytest.mark.parametrize("question", DEMO)
def test_the_demos_answers_are_right_with_the_right_page_first(session: tscli.Session, question: str) -> None:
    expected = next(entry for entry in QUESTIONS if entry["question"] == question)
    answer = ask(session, question)
    assert is_right(answer.text, expected["answer"])
    assert (answer.sources[0].file, answer.sources[0].page) == (expected["file"], expected["page"])
    assert answer.statistics.recomputed_tokens == 0
    assert answer.statistics.cached_tokens >= 40_000


@pytest.mark.slow
def test_look_up_questions_are_answered_as_often_as_before(session: tscli.Session) -> None:
    lookups = [entry for entry in QUESTIONS if entry["kind"] == "lookup"]
    answers = [(ask(session, entry["question"]), entry) for entry in lookups]
    right = [(answer, entry) for answer, entry in answers if is_right(answer.text, entry["answer"])]
    assert len(right) >= FLOOR
    cited = [entry["answer"] in tscli.find_evidence(session, answer).citations[0].quote for answer, entry in right]
    assert sum(cited) >= 0.9 * len(right)
    first = [(answer.sources[0].file, answer.sources[0].page) == (entry["file"], entry["page"]) for answer, entry in right]
    assert sum(first) >= 0.7 * len(first)
