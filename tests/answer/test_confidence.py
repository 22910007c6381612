"""How sure the model was of an answer: told of its own words, where it is known, and to whoever asks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import HEADS, answer, save_voting_model
from tscli.answer import confidence as module
from tscli.answer.confidence import confidence, is_unsure
from tscli.answer.question_tokens import QuestionTokens
from tscli.cli.app import run
from tscli.library.kept_heads import save_retrieval_heads
from tscli.model.load import load_decoder
from tscli.tokens import load_tokenizer

WriteDocuments = Callable[..., Path]


@pytest.fixture
def library(small_model: Path, tmp_path: Path, write_documents: WriteDocuments) -> tscli.LoadOptions:
    load = save_voting_model(small_model, tmp_path / "voting")
    tscli.prepare([write_documents(words=200)], "voted", load).run()
    return load


def test_it_is_the_geometric_mean_of_what_the_question_does_not_say(small_model: Path) -> None:
    tokenizer = load_tokenizer(str(small_model))
    said, new = (tokenizer.encode_text([text])[0].ids.tolist() for text in ("stone", " river"))
    asked = QuestionTokens(tokenizer, said)
    likely = [math.log(0.9)] * len(said) + [math.log(0.2), math.log(0.8)][: len(new)]
    wanted = math.exp(sum(likely[len(said) :]) / len(likely[len(said) :]))
    assert confidence([*said, *new], likely, asked) == pytest.approx(wanted)
    assert confidence(said, likely, asked) is None
    assert confidence([], [], asked) is None


def test_only_below_the_limit_is_a_user_told() -> None:
    assert [is_unsure(sure) for sure in (None, module.UNSURE, module.UNSURE - 0.01)] == [False, False, True]


def test_an_answer_has_that_of_its_own_tokens(library: tscli.LoadOptions) -> None:
    with tscli.open_library("voted", library) as session:
        found = answer(session)
        asked = QuestionTokens(session.tokenizer, session.tokenizer.encode_text([found.question])[0].ids.tolist())
        likely = session.strategy.log_probs
        own = [one for token, one in zip(found.token_ids, likely, strict=False) if token not in asked]
        assert len(likely) >= len(found.token_ids) > 0
        assert max(likely) < 0
        assert found.statistics.confidence == pytest.approx(math.exp(sum(own) / len(own)))


def test_a_refusal_and_the_paper_s_way_have_none(library: tscli.LoadOptions) -> None:
    with tscli.open_library("voted", library, voters="all") as session:
        assert answer(session).statistics.confidence is None
    save_retrieval_heads(load_decoder(library).hash, replace(HEADS, absent_below=99.0))
    with tscli.open_library("voted", library) as session:
        assert answer(session).statistics.confidence is None


def test_whoever_asks_is_told(
    library: tscli.LoadOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for limit, told in ((1.1, True), (0.0, False)):
        monkeypatch.setattr(module, "UNSURE", limit)
        assert run(["ask", "Where is the stone?", "-l", "voted", "--max-new-tokens", "4"]) == 0
        printed = capsys.readouterr().err
        assert ("note: the model is unsure of this answer: its own words were" in printed) == told
        assert "confidence" in printed
