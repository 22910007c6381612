"""Files of questions: what is read, what is refused, and that a report says what the session answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tscli.errors import UsageError
from tscli.evaluation import Question, QuestionReport, ask_all, every_nth, read_questions
from tscli.evaluation.baselines import no_answers
from tscli.evaluation.questions import scored


def written(folder: Path, *lines: object) -> Path:
    file = folder / "questions.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return file


def test_questions_are_read_with_what_is_known_of_their_answers(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"id": 1, "question": "Who?", "answer": "Wren", "file": "a.pdf", "page": 3, "kind": "reworded"},
        "",
        {"question": "What for?", "answer": None, "file": None, "page": None},
    )
    assert read_questions(file) == [Question("Who?", "Wren", "reworded", "a.pdf", 3), Question("What for?", None)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "must be an object"),
        ('{"answer": "x"}', '"question" must be a string'),
        ('{"question": "x"}', '"answer" is missing'),
        ('{"question": "x", "answer": []}', '"answer" is []; it must be a string'),
        ('{"question": "x", "answer": 5}', '"answer" is 5; it must be a string'),
        ('{"question": "x", "answer": "y", "page": "2"}', "it must be a number"),
        ('{"question": "x", "answer": "y", "kind": null}', '"kind" must be a string'),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    file = written(tmp_path, {"question": "Who?", "answer": "Wren"}, line)
    with pytest.raises(UsageError, match=r"questions\.jsonl:2: ") as refused:
        read_questions(file)
    assert complaint in str(refused.value)


def test_of_several_right_answers_the_best_counts(tmp_path: Path) -> None:
    (question,) = read_questions(written(tmp_path, {"question": "Who?", "answer": ["a miller's son", "the youngest"]}))
    assert (question.answer, question.more) == ("a miller's son", ("the youngest",))
    assert scored(question, "Youngest", None, None, 0.0).exact
    answer = scored(question, "the youngest son", None, None, 0.0)
    assert not answer.exact
    assert answer.f1 == pytest.approx(2 / 3)


def test_no_file_and_no_questions_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_questions(tmp_path / "absent.jsonl")
    with pytest.raises(UsageError, match="no questions"):
        read_questions(written(tmp_path, ""))


def test_tallies_count_by_kind_and_only_a_refusal_is_right_where_there_is_no_answer() -> None:
    wren, none = Question("?", "Wren", "a", "f", 1), Question("?", None, "b")
    report = QuestionReport(
        (
            scored(wren, "Wren.", "f", 1, 0.1),
            scored(none, "Wren", "f", 1, 0.1),
            scored(wren, "Mr Wren", "g", 1, 0.1),
            scored(none, "Not in the documents.", None, None, 0.1),
        )
    )
    first, second, every = report.tallies()
    assert (first.kind, first.n, first.exact, first.page_first) == ("a", 2, 0.5, 0.5)
    assert first.f1 == pytest.approx((1 + 2 / 3) / 2)
    assert (second.kind, second.n, second.exact, second.f1, second.page_first) == ("b", 2, 0.5, 0.5, None)
    assert (first.right, second.right, second.refused) == (1.0, 0.5, 0.5)
    assert (every.kind, every.n, every.exact, every.right) == ("all", 4, 0.5, 0.75)
    assert [tally.exact for tally in no_answers([wren, none]).tallies()] == [0.0, 1.0, 0.5]
    assert [tally.page_first for tally in no_answers([wren, none]).tallies()] == [None, None, None]


def test_an_answer_that_is_one_of_several_right_ones_is_no_rival_of_another() -> None:
    question = Question("Who are they?", "Tobias Wren", more=("Bram Oosterling",))
    assert scored(question, "Tobias Wren and Bram Oosterling", "f", 1, 0.1).right
    assert not scored(question, "Tobias Wren and Gudrun Falk", "f", 1, 0.1).right


def test_the_time_to_the_first_token_is_the_median() -> None:
    times = [0.1, 0.5, 9.0, None]
    report = QuestionReport(tuple(scored(Question("?", "x"), "x", None, None, 1.0, ttft_s=time) for time in times))
    (tally,) = report.tallies()
    assert tally.ttft_s == 0.5


def test_what_is_right_is_told_of_sure_and_unsure_answers_without_refusals() -> None:
    answers = [("x", 0.9), ("y", 0.8), ("y", 0.1), ("Not in the documents.", 0.1), ("x", None)]
    report = QuestionReport(tuple(scored(Question("?", "x"), text, None, None, 1.0, confidence=sure) for text, sure in answers))
    (tally,) = report.tallies()
    assert (tally.known, tally.unsure, tally.right_if_sure, tally.right_if_unsure) == (3, pytest.approx(1 / 3), 0.5, 0.0)
    unknown = QuestionReport((scored(Question("?", "x"), "x", None, None, 1.0),)).tallies()[0]
    assert (unknown.known, unknown.unsure, unknown.right_if_sure, unknown.right_if_unsure) == (0, None, None, None)


def test_a_limit_takes_questions_from_all_over_the_file() -> None:
    questions = [Question(str(number), "x") for number in range(10)]
    assert [question.question for question in every_nth(questions, 4)] == ["0", "2", "5", "7"]
    assert every_nth(questions, None) == every_nth(questions, 10) == every_nth(questions, 99) == questions


def test_a_right_answer_is_cited_when_the_first_quote_holds_it() -> None:
    wren, none = Question("?", "Tobias  Wren", more=("Wren",)), Question("?", None)
    report = QuestionReport(
        (
            scored(wren, "Wren", "f", 1, 0.1, "The pilot is tobias Wren."),
            scored(wren, "Wren", "f", 1, 0.1, "The pilot is away."),
            scored(wren, "Wren", "f", 1, 0.1),  # of a method that cites nothing
            scored(wren, "Finch", "f", 1, 0.1, "The pilot is away."),
            scored(none, "Not in the documents.", "f", 1, 0.1, "The pilot is away."),
        )
    )
    assert [answer.right for answer in report.answers] == [True, True, True, False, True]
    assert [answer.cited for answer in report.answers] == [True, False, None, False, None]
    assert report.tallies()[0].cited == 0.5


def test_all_are_asked_and_the_report_says_what_the_session_answers(
    small_model: Path, write_documents: Callable[..., Path]
) -> None:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([write_documents()], load=load).run()
    told = []
    with tscli.open_library(load=load) as session:
        stream = session.ask("Where?", max_new_tokens=6)
        text = "".join(stream)
        questions = [Question("Where?", text, file=stream.answer.sources[0].file, page=1), Question("Who?", "nobody at all")]
        report = ask_all(session, questions, max_new_tokens=6, on_answer=lambda *done: told.append(done))
    first, second = report.answers
    assert first.exact
    assert first.f1 == 1.0
    assert first.cited is not None
    assert first.page_first
    assert not second.exact
    assert second.page_first is None
    assert told == [(1, 2), (2, 2)]
