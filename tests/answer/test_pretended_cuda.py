"""Questions answered from passages on a GPU that is pretended: answers are the CPU's, and keys are scanned where they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import HEADS, answer, save_voting_model
from tests.pretend_cuda import PretendedCuda
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.library.kv_dtype import KVDtype

WriteDocuments = Callable[..., Path]
SCANS = 3  # of a question: its retrieval heads belong to so many kv heads
QUESTIONS = ("Where is the stone?", "What begins here, and where does the b begin?")


@pytest.fixture
def load(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tscli.LoadOptions:
    for place in ("ingest.ingest", "library.layout", "ingest.prefill"):
        monkeypatch.setattr(f"tscli.{place}.SEGMENT_TOKENS", 128)
    monkeypatch.setattr(RetrievalStrategy, "_passages", 2)  # though the small model's window may hold fewer
    monkeypatch.setattr(RetrievalStrategy, "most_attended", lambda *_: 0)
    return save_voting_model(small_model, tmp_path / "voting")


def answers(load: tscli.LoadOptions, libraries: list[str], apart: bool) -> tuple[list[object], list[float]]:
    """The answers' tokens and the passages that they were read from; what these gained."""
    found, gains = list[object](), list[float]()
    with tscli.open_library(libraries, load) as session:
        strategy = session.strategy
        assert isinstance(strategy, RetrievalStrategy)
        strategy.retrieval_heads = replace(HEADS, apart=apart, contrast=0.5)
        for question in QUESTIONS:
            one = answer(session, question)
            assert one.token_ids
            assert one.statistics.reading is not None
            found += [one.token_ids, one.text, one.statistics.reading.passages]
            gains += one.statistics.reading.gains
    return found, gains


@pytest.mark.parametrize(
    ("kv_dtype", "number", "apart"), [("auto", 1, True), ("bf16", 1, False), ("int8", 1, True), ("auto", 2, True)]
)
def test_answers_are_those_of_the_cpu(
    kv_dtype: KVDtype,
    number: int,
    apart: bool,
    load: tscli.LoadOptions,
    write_documents: WriteDocuments,
    request: pytest.FixtureRequest,
) -> None:
    names = [f"voted{place}" for place in range(number)]
    for place, name in enumerate(names):
        docs = write_documents(name, words=60, files=(f"{'ad'[place]}.txt", f"{'be'[place]}.txt"))
        tscli.prepare([docs], name, load, options=tscli.IngestOptions(kv_dtype=kv_dtype)).run()
    wanted, gains = answers(load, names, apart)
    there: PretendedCuda = request.getfixturevalue("pretended_cuda")
    found, own_gains = answers(replace(load, device="cuda"), names, apart)
    assert found == wanted
    assert own_gains == pytest.approx(gains, abs=1e-4)
    assert there.launches["score_head_kernel"] == len(QUESTIONS) * SCANS


def test_pages_without_room_there_are_scanned_on_their_way(
    load: tscli.LoadOptions, write_documents: WriteDocuments, request: pytest.FixtureRequest
) -> None:
    tscli.prepare([write_documents(words=60)], "voted", load).run()
    wanted, _ = answers(load, ["voted"], True)
    there: PretendedCuda = request.getfixturevalue("pretended_cuda")
    there.free_bytes = 0
    found, _ = answers(replace(load, device="cuda"), ["voted"], True)
    assert found == wanted
    assert not there.launches["score_head_kernel"]
