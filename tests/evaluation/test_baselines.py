"""What answers are measured against: which text each method reads, in which order, and that its answers are the model's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import tscli
from tscli.cli import evaluate
from tscli.errors import UsageError
from tscli.evaluation import Question, baselines, run_baselines
from tscli.evaluation.baselines import best_sentences, over_documents, over_everything, over_passages
from tscli.evaluation.dense import answer_texts
from tscli.evaluation.search import Search, passages_of, sentences_of

ASKED = [
    Question("Who is the senior pilot?", "Tobias Wren", file="docs/b.txt", page=1),
    Question("Where?", None, kind="absent"),
]
BUSY = "The old gate is closed at night because of the wind from the sea. "


@pytest.fixture
def session(small_model: Path, write_documents: Callable[..., Path]) -> Iterator[tscli.Session]:
    docs = write_documents(words=40)
    (docs / "b.txt").write_text(f"{12 * BUSY}Tobias Wren is the senior pilot of the port. It rains. {12 * BUSY}")
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([docs], load=load).run()
    with tscli.open_library(load=load) as opened:
        yield opened


def silent(done: int, total: int) -> None:
    assert done <= total


def test_bm25_answers_with_the_sentence_that_shares_most_words_and_its_page(session: tscli.Session) -> None:
    (answer,) = best_sentences(Search(sentences_of(session)), ASKED[:1]).answers
    assert answer.text == "Tobias Wren is the senior pilot of the port."
    assert answer.page_first
    assert answer.right
    assert 0 < answer.f1 < 1


def test_passages_are_whole_sentences_of_one_page_and_hold_the_whole_text(session: tscli.Session) -> None:
    found = [passage for passage in passages_of(session, 30) if passage.file == "docs/b.txt"]
    assert len(found) > 8
    assert all(len(passage.text.split()) <= 30 and passage.text.endswith(".") for passage in found)
    assert " ".join(passage.text for passage in found).split() == (session_text(session, "docs/b.txt")).split()


def session_text(session: tscli.Session, file: str) -> str:
    (number,) = [i for i, document in enumerate(session.context.documents) if document.path == file]
    inside = (session.context.document == number) & (session.context.page > 0)
    return session.tokenizer.decode(session.context.token_ids[inside].tolist())


def test_answers_over_text_are_those_of_the_model_that_reads_all_of_it_at_once(session: tscli.Session) -> None:
    context, prompts = session.context.token_ids[:200].tolist(), [[5, 6, 7], [8, 9]]
    for prompt, answer in zip(prompts, answer_texts(session.decoder, context, prompts, frozenset(), 5), strict=True):
        ids = torch.tensor([*context, *prompt])
        for token in answer.token_ids:
            assert token == int(session.decoder.reference_logits(ids)[-1].argmax())
            ids = torch.cat([ids, torch.tensor([token])])
        assert len(answer.token_ids) == 5
        assert 0 < answer.ttft_s < answer.total_s


def test_an_end_token_ends_the_answer_and_is_no_part_of_it(session: tscli.Session) -> None:
    context, prompt = session.context.token_ids[:50].tolist(), [5, 6, 7]
    (free,) = answer_texts(session.decoder, context, [prompt], frozenset(), 4)
    (ended,) = answer_texts(session.decoder, context, [prompt], frozenset([free.token_ids[2]]), 4)
    assert ended.token_ids == free.token_ids[: free.token_ids.index(free.token_ids[2])]


def read_by(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    contexts: list[list[int]] = []

    def noted(*settings: object) -> object:
        contexts.append(list(settings[1]))  # type: ignore[call-overload]
        return answer_texts(*settings)  # type: ignore[arg-type]

    monkeypatch.setattr(baselines, "answer_texts", noted)
    return contexts


def test_the_right_document_is_read_alone_and_questions_without_one_are_left_out(
    session: tscli.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = read_by(monkeypatch)
    monkeypatch.setattr(session.decoder, "window", 2_000)
    report = over_documents(session, ASKED, 3, silent)
    (document,) = [document for document in session.context.documents if document.path == "docs/b.txt"]
    own = session.context.token_ids[document.token_start : document.token_end].tolist()
    assert contexts == [[*session.template.prefix_ids, *own]]
    assert [answer.question for answer in report.answers] == ASKED[:1]
    assert report.answers[0].page_first is None
    assert report.note == ""


def test_of_a_document_longer_than_the_window_what_stands_around_the_answer_is_read(
    session: tscli.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = read_by(monkeypatch)
    monkeypatch.setattr(session.decoder, "window", 150)
    report = over_documents(session, ASKED, 3, silent)
    assert report.note.startswith("document: for 1 of 1 questions")
    assert len(contexts[0]) <= 150
    assert "Tobias Wren is the senior pilot" in session.tokenizer.decode(contexts[0])


def test_passages_are_read_with_the_best_one_last_behind_the_title_of_its_file(
    session: tscli.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = read_by(monkeypatch)
    monkeypatch.setattr(session.decoder, "window", 2_000)
    (answer,) = over_passages(session, Search(passages_of(session, 30)), ASKED[:1], 3, 3, silent).answers
    text = session.tokenizer.decode(contexts[0])
    assert text.count("# ") == 3
    last = text.rsplit("# ", 1)[1]
    assert last.startswith("docs/b.txt\n")
    assert "Tobias Wren is the senior pilot" in last
    assert answer.page_first
    assert answer.ttft_s is not None


def test_passages_that_do_not_fit_the_window_are_left_out_and_it_is_said(
    session: tscli.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = read_by(monkeypatch)
    monkeypatch.setattr(session.decoder, "window", 170)
    report = over_passages(session, Search(passages_of(session, 30)), ASKED[:1], 4, 3, silent)
    assert "fewer than 4 passages" in report.note
    assert "Tobias Wren is the senior pilot" in session.tokenizer.decode(contexts[0])


def test_everything_is_read_where_it_fits_and_else_it_is_said(session: tscli.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = read_by(monkeypatch)
    total = session.context.token_ids.shape[0]
    monkeypatch.setattr(session.decoder, "window", total + 200)
    assert len(over_everything(session, ASKED, 3, silent).answers) == 2
    assert np.array_equal(contexts[0], session.context.token_ids)
    monkeypatch.setattr(session.decoder, "window", total)
    report = over_everything(session, ASKED, 3, silent)
    assert report.answers == ()
    assert report.note.startswith(f"everything: skipped, {total:,} tokens")


def test_all_of_them_are_run_one_after_the_other(session: tscli.Session) -> None:
    told = []
    reports = dict(run_baselines(session, ASKED, max_new_tokens=2, on_answer=lambda *done: told.append(done)))
    assert list(reports) == ["document", "rag", "rag-2", "everything", "sentence", "none"]
    assert ("rag", 2, 2) in told
    assert [tally.right for tally in reports["none"].tallies()] == [0.0, 1.0, 0.5]


def test_only_those_that_are_named_are_run(session: tscli.Session) -> None:
    assert list(dict(run_baselines(session, ASKED, ["none", "rag-2"], max_new_tokens=2))) == ["rag-2", "none"]
    with pytest.raises(UsageError, match="baseline 'bm25': choose document, rag, rag-2"):
        next(run_baselines(session, ASKED, ["bm25"]))


def test_the_command_line_knows_all_names() -> None:
    assert evaluate.BASELINES == baselines.BASELINES


def test_without_bm25s_it_is_said_how_to_get_it(session: tscli.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(UsageError, match=r"bm25s, which is not installed; run: pip install"):
        next(run_baselines(session, ASKED))
