"""An interrupted run over a file of questions goes on where it was, and ends with what an undisturbed one says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tscli
from tscli.errors import UsageError
from tscli.evaluation import AnswerJournal, Question, QuestionReport, answer_settings, ask_all, baselines, run_baselines
from tscli.evaluation.dense import answer_texts
from tscli.model.options import LoadOptions

ASKED = [
    Question("Where does it begin?", "here", file="docs/a.txt", page=1),
    Question("Which stone is first?", "b0", "reworded", "docs/b.txt", 1, more=("stone b0",)),
    Question("Where does it begin?", "here", file="docs/a.txt", page=1),
    Question("What does the c.txt say?", None, "absent"),
    Question("Which file begins here?", "a.txt", file="docs/a.txt", page=1),
]
MODELS = ("document", "rag", "everything")


@pytest.fixture
def load(small_model: Path) -> LoadOptions:
    return LoadOptions(str(small_model), dtype="float32", device="cpu")


@pytest.fixture
def session(load: LoadOptions, write_documents: Callable[..., Path]) -> Iterator[tscli.Session]:
    tscli.prepare([write_documents(words=60)], load=load).run()
    with tscli.open_library(load=load) as opened:
        yield opened


def opened_journal(session: tscli.Session, file: Path, asked: list[Question] = ASKED, **settings: Any) -> AnswerJournal:
    return AnswerJournal(file, answer_settings(session, asked, think=False, **settings))


def untimed(report: QuestionReport) -> list[object]:
    return [replace(answer, seconds=0.0, ttft_s=None) for answer in report.answers]


def stopped_at(number: int) -> Callable[..., None]:
    """An `on_answer` at whose so-manieth call the run is interrupted."""
    calls: list[object] = []

    def told(*done: object) -> None:
        calls.append(done)
        if len(calls) == number:
            raise KeyboardInterrupt

    return told


def test_what_was_answered_is_not_asked_again(session: tscli.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "answers.jsonl"
    undisturbed = ask_all(session, ASKED, max_new_tokens=4)
    with pytest.raises(KeyboardInterrupt):
        ask_all(session, ASKED, max_new_tokens=4, on_answer=stopped_at(3), kept=opened_journal(session, file).by("tokenselect"))
    assert len(file.read_text().splitlines()) == 1 + 2  # the third question is the first one
    file.write_text(file.read_text() + '{"method": "tokensel')  # killed in the middle of a line
    asked: list[str] = []
    ask = session.ask
    monkeypatch.setattr(session, "ask", lambda question, **how: (asked.append(question), ask(question, **how))[1])
    journal = opened_journal(session, file)
    assert len(journal) == 2
    report = ask_all(session, ASKED, max_new_tokens=4, kept=journal.by("tokenselect"))
    assert asked == [ASKED[3].question, ASKED[4].question]
    assert untimed(report) == untimed(undisturbed)
    asked.clear()
    again = ask_all(session, ASKED, max_new_tokens=4, kept=opened_journal(session, file).by("tokenselect"))
    assert again == report  # its times too
    assert asked == []
    ask_all(session, ASKED[:1], max_new_tokens=4, kept=opened_journal(session, file).by("dense"))
    assert asked == [ASKED[0].question]  # another method's answers are not taken


def test_baselines_are_taken_up_as_well(session: tscli.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "answers.jsonl"
    monkeypatch.setattr(session.decoder, "window", 4_000)  # so that everything fits
    undisturbed = dict(run_baselines(session, ASKED, MODELS, max_new_tokens=3))
    with pytest.raises(KeyboardInterrupt):
        list(
            run_baselines(
                session, ASKED, MODELS, max_new_tokens=3, on_answer=stopped_at(7), journal=opened_journal(session, file)
            )
        )
    prompts: list[int] = []

    def counted(decoder: Any, context_ids: Any, asked: Any, *settings: Any) -> Any:
        prompts.append(len(asked))
        return answer_texts(decoder, context_ids, asked, *settings)

    monkeypatch.setattr(baselines, "answer_texts", counted)
    resumed = dict(run_baselines(session, ASKED, MODELS, max_new_tokens=3, journal=opened_journal(session, file)))
    assert {name: untimed(report) for name, report in resumed.items()} == {
        name: untimed(report) for name, report in undisturbed.items()
    }
    assert prompts == [1, 1, 5]  # two questions over their passages, and all of them over everything; no document again
    prompts.clear()
    again = dict(run_baselines(session, ASKED, MODELS, max_new_tokens=3, journal=opened_journal(session, file)))
    assert {name: untimed(report) for name, report in again.items()} == {
        name: untimed(report) for name, report in undisturbed.items()
    }
    assert prompts == []


def test_other_questions_and_settings_are_refused_by_name(session: tscli.Session, load: LoadOptions, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    ask_all(session, ASKED[:1], max_new_tokens=2, kept=opened_journal(session, file).by("tokenselect"))
    before = file.read_bytes()
    with pytest.raises(UsageError, match=r"questions \(there \w+, here \w+\); use those, or name another --resume file"):
        opened_journal(session, file, ASKED[:4])
    with pytest.raises(UsageError, match=r"think \(there False, here True\)"):
        AnswerJournal(file, answer_settings(session, ASKED, think=True))
    with (
        tscli.open_library(load=load, question_mode="chunk") as other,
        pytest.raises(UsageError, match=r"question \(there \w+, here chunk\)"),
    ):
        opened_journal(other, file)
    assert file.read_bytes() == before


def test_another_content_of_the_library_is_refused(
    session: tscli.Session, load: LoadOptions, tmp_path: Path, write_documents: Callable[..., Path]
) -> None:
    file = tmp_path / "answers.jsonl"
    opened_journal(session, file)
    folder = write_documents(words=60)
    (folder / "c.txt").write_text("The c.txt is another one now.")
    tscli.prepare([folder], load=load).run()
    with tscli.open_library(load=load) as changed, pytest.raises(UsageError, match=r"documents \(there \w+, here \w+\)"):
        opened_journal(changed, file)


def test_libraries_of_both_kinds_of_documents_share_a_journal_where_methods_name_the_kind(
    load: LoadOptions, tmp_path: Path, write_documents: Callable[..., Path]
) -> None:
    folder, found = write_documents(words=60), []
    for kind in ("joint", "independent"):
        options = tscli.IngestOptions(documents=kind)  # type: ignore[arg-type]
        tscli.prepare([folder], kind, load, options=options).run()
        with tscli.open_library(kind, load) as session:
            found.append([answer_settings(session, ASKED, think=False, any_kind=one) for one in (True, False)])
    (joint, joint_only), (independent, independent_only) = found
    assert joint == independent
    assert {name for name in joint_only if joint_only[name] != independent_only[name]} == {"prefill"}


@pytest.mark.parametrize("line", ["7", "[]", '"x"', '{"method": "rag"}', '{"method": "rag", "question": [], "text": "x"}'])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, line: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"settings": {"seed": 1}}) + f"\n{line}\n")
    before = file.read_bytes()
    with pytest.raises(UsageError, match=r"answers\.jsonl: does not hold the answers of an evaluation"):
        AnswerJournal(file, {"seed": 1})
    assert file.read_bytes() == before
