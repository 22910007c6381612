"""What retrieval heads scan lies in a file of its own: answers are those of the pages, of one library and of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import HEADS, answer, save_voting_model
from tscli.ingest.repair import repair
from tscli.model.head_keys import HeadKeys
from tscli.store import library_folder, open_library, verify

WriteDocuments = Callable[..., Path]


@pytest.fixture(params=["bf16", "int8"])
def load(
    small_model: Path, tmp_path: Path, write_documents: WriteDocuments, request: pytest.FixtureRequest
) -> tscli.LoadOptions:
    """Of libraries one and two."""
    load = save_voting_model(small_model, tmp_path / "voting")
    options = tscli.IngestOptions(kv_dtype=request.param)
    tscli.prepare([write_documents("first", words=200)], "one", load, options=options).run()
    tscli.prepare([write_documents("second", files=("d.txt", "e.txt"), words=90)], "two", load, options=options).run()
    return load


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_answers_are_those_of_the_pages(
    load: tscli.LoadOptions, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tscli.open_library(list(names), load) as session:
        found = answer(session)
        votes = {pair for run in session.strategy.state._head_keys._runs for pair in run.keys}
    assert votes == HEADS.kv_heads(session.decoder.q_heads // session.decoder.kv_heads)
    monkeypatch.setattr(HeadKeys, "_views_of_runs", HeadKeys._new_views)
    with tscli.open_library(list(names), load) as session:
        assert answer(session).token_ids == found.token_ids
        assert answer(session).statistics.reading == found.statistics.reading


def test_a_damaged_file_is_made_anew_from_the_pages_without_running_a_token(load: tscli.LoadOptions) -> None:
    folder = library_folder("one")
    before = open_library(folder)
    (folder / before.manifest.head_keys_file).write_bytes(b"")
    report = repair("one")
    assert (len(report.problems), report.recomputed_tokens) == (1, 0)
    assert verify(folder) == []
    assert list(open_library(folder).head_keys) == list(before.head_keys)
