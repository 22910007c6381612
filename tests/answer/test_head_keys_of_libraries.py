"""What retrieval heads scan lies in a file of its own: answers are those of the pages, of one library and of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import HEADS, answer, save_voting_model
from tscli.errors import LibraryError
from tscli.ingest.repair import repair
from tscli.model.head_keys import HeadKeys
from tscli.store import Writer, library_folder, open_library, read_context, verify

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
    monkeypatch.setattr(HeadKeys, "_run_of", lambda *_: None)
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


def test_a_library_without_the_file_can_be_joined_and_gets_it_at_its_next_ingest(
    load: tscli.LoadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tscli.open_library(["one", "two"], load) as session:
        wanted = answer(session)
    manifest = open_library(library_folder("two")).manifest
    with Writer(library_folder("two")) as writer:
        context = {name: part.clone() for name, part in read_context(library_folder("two"), manifest).items()}
        writer.commit(manifest, context, None)
    assert open_library(library_folder("two")).head_keys == {}
    with tscli.open_library(["one", "two"], load) as session:
        found = answer(session)
    assert (found.token_ids, found.statistics.reading) == (wanted.token_ids, wanted.statistics.reading)
    kv_dtype = manifest.fingerprint.kv_dtype
    options = tscli.IngestOptions(kv_dtype="int8" if kv_dtype == "int8" else "bf16")
    preparation = tscli.prepare([tmp_path / "second"], "two", load, options=options)
    assert 0 < preparation.plan.new_bytes < preparation.plan.total_bytes / 2
    preparation.run()
    assert open_library(library_folder("two")).head_keys
    again = tscli.prepare([tmp_path / "second"], "two", load, options=options)
    assert again.plan.new_bytes == 0


def test_what_is_made_of_segments_is_not_made_of_damaged_ones(load: tscli.LoadOptions) -> None:
    path = next((library_folder("one") / "segments").glob("*.pt"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(LibraryError, match="tscli repair one"):
        tscli.rebuild_sketch("one")
