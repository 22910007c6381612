"""Each row of the ablation runs, changes what it says, and leaves everything as it was."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tscli
from tscli.answer import answer_judge, bridge, passage_search, passages, retrieval_answer
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.library.kept_heads import save_retrieval_heads
from tscli.model.load import load_decoder
from tscli.selection.retrieval_heads import RetrievalHeads

HARNESS = Path(__file__).with_name("ablation.py")
HEADS = RetrievalHeads(((1, 0), (0, 3), (1, 2)), (0.9, 0.8, 0.7), 2, True, -9.0)


@pytest.fixture
def library(small_model: Path, write_documents: Callable[..., Path], tmp_path: Path) -> str:
    folder = tmp_path / "voting"
    shutil.copytree(small_model, folder)
    brought = json.loads((folder / "tscli.json").read_text())
    (folder / "tscli.json").write_text(json.dumps({"selection": brought["selection"], "prompt": brought["prompt"]}))
    options = tscli.LoadOptions(str(folder), dtype="float32", device="cpu")
    save_retrieval_heads(load_decoder(options).hash, HEADS)
    tscli.prepare([write_documents(words=200)], "voted", options).run()
    return "voted"


def test_every_row_is_measured(library: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness: dict[str, Any] = runpy.run_path(str(HARNESS))
    questions, out = tmp_path / "questions.jsonl", tmp_path / "rows.json"
    questions.write_text(json.dumps({"question": "Where is the stone?", "answer": "here"}) + "\n")
    harness["main"](library, questions, out)
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == [*harness["ROWS"], harness["PAPER"]]
    assert all(row["of"] == {"lookup": 1} for row in rows.values())
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_a_row_changes_what_it_says_and_leaves_everything_as_it_was(library: str) -> None:
    rows: dict[str, Any] = runpy.run_path(str(HARNESS))["ROWS"]
    with tscli.open_library(library) as session:
        strategy = session.strategy
        assert isinstance(strategy, RetrievalStrategy)
        with rows["by the best head"](session):
            assert strategy.retrieval_heads.heads == HEADS.heads[:1]
            assert passage_search.BY_WORDS == 0
        with rows["3 together, the best last"](session):
            assert (strategy.retrieval_heads.passages, strategy.retrieval_heads.apart) == (3, False)
        with rows["windows of 16 tokens"](session):
            assert passages.WINDOW == 16
        with rows["no sentence repeated"](session):
            assert passages.STANDS_OUT > 1
        with rows["no sentence of another document"](session):
            assert passage_search.bridged(*[None] * 4, ("as", "found"), None) == ["as", "found"]  # type: ignore[arg-type, comparison-overlap]
        with rows["contrast of what the question says, too"](session):
            assert not retrieval_answer.restates([1, 2], [1], 2)
        with rows["sentences judged, not clauses"](session):
            assert not answer_judge.CLAUSE_ENDS
        assert strategy.retrieval_heads == HEADS
    assert passage_search.bridged is bridge.bridged
    assert retrieval_answer.restates([1, 2], [1], 2)
    assert answer_judge.CLAUSE_ENDS
    assert passages.STANDS_OUT < 1
    assert passage_search.BY_WORDS > 0
    assert passages.WINDOW == 64
