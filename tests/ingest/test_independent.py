"""Documents that are run by themselves: each costs only itself, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tscli
from tscli.errors import DamagedLibrary
from tscli.ingest import ingest, sketching
from tscli.library.layout import sketch_of
from tscli.selection import candidates
from tscli.store import Segment, library_folder
from tscli.store import open_library as open_stored
from tscli.store.manifest import Manifest
from tscli_kernels import encode_sketch

WriteDocuments = Callable[..., Path]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "SEGMENT_TOKENS", 512)


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


def make(
    load: tscli.LoadOptions, *paths: Path, library: str = "default", documents: str | None = "independent"
) -> tscli.Preparation:
    options = tscli.IngestOptions(documents=documents)  # type: ignore[arg-type]
    return tscli.prepare(list(paths), library, load, options=options)


def segments(library: str = "default") -> dict[str, list[Segment]]:
    """Those of each document, by its path."""
    stored = open_stored(library_folder(library))
    return {
        record["path"]: [s for s in stored.segments if record["token_start"] <= s.record.start < record["token_end"]]
        for record in stored.manifest.documents
    }


@pytest.mark.parametrize("scan", ["exact", "sketch"])
def test_a_documents_keys_do_not_depend_on_the_others(
    scan: str, load: tscli.LoadOptions, write_documents: WriteDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scan == "sketch":  # documents are read by one, from their second segment on
        for module in (candidates, sketching):
            monkeypatch.setattr(module, "SKETCH_FROM", 512)
        monkeypatch.setattr(sketching, "READING_FROM", 512)
    docs = write_documents()
    make(load, docs).run()
    kept = library_folder("default") / "segments"
    kept.rename(kept.with_name("away"))  # or the other library would take them over from here
    for name in ("a.txt", "b.txt"):
        (docs / name).unlink()
    report = make(load, docs, library="alone").run()
    assert report.prefilled_tokens == report.total_tokens
    kept.with_name("away").rename(kept)
    together, alone = segments()["docs/c.txt"], segments("alone")["docs/c.txt"]
    assert len(alone) > 1
    for mine, theirs in zip(together, alone, strict=True):
        assert torch.equal(mine.key, theirs.key)
        assert torch.equal(mine.value, theirs.value)


def test_a_changed_document_costs_only_itself(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents()
    first = make(load, docs).run()
    (docs / "a.txt").write_text("Another beginning. " + (docs / "a.txt").read_text())
    plan = make(load, docs).plan
    tokens = {document.path: document.tokens for document in plan.documents}
    assert plan.prefill_tokens == tokens["docs/a.txt"] < first.total_tokens / 2
    assert [document.status for document in plan.documents] == ["new", "cached", "cached"]


def test_a_removed_document_costs_nothing_and_an_added_one_itself(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    docs = write_documents()
    make(load, docs).run()
    (docs / "a.txt").unlink()
    assert make(load, docs).run().prefilled_tokens == 0
    (docs / "d.txt").write_text("The last one. " * 50)
    report = make(load, docs).run()
    assert report.prefilled_tokens == next(d.tokens for d in report.documents if d.path == "docs/d.txt")


def test_a_library_stays_of_its_kind(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents()
    make(load, docs).run()
    assert make(load, docs, documents=None).plan.prefill_tokens == 0
    joint = make(load, docs, documents="joint").plan
    assert joint.prefill_tokens == joint.total_tokens


def test_a_question_sees_all_documents_and_recomputes_none(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    make(load, write_documents()).run()
    with tscli.open_library(load=load) as session:
        stream = session.ask("Where does the stone stand?", max_new_tokens=8)
        list(stream)
    assert stream.answer.statistics.recomputed_tokens == 0
    assert len({source.file for source in stream.answer.sources}) > 1
    assert tscli.verify("default") == []


def test_the_sketch_is_of_all_documents(
    load: tscli.LoadOptions, write_documents: WriteDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (candidates, sketching):
        monkeypatch.setattr(module, "SKETCH_FROM", 1024)
    monkeypatch.setattr(sketching, "READING_FROM", 1024)
    report = make(load, write_documents()).run()
    stored = open_stored(library_folder("default"))
    sketch = sketch_of(stored.sketch, torch.device("cpu"))
    assert sketch is not None
    assert sketch.length == report.total_tokens
    last = stored.segments[-1]
    wanted = sketch.projection.keys(2, last.key[2].transpose(0, 1).flatten(1, 2)[:, : last.num_tokens])
    assert torch.equal(sketch.key_codes[2, :, :, -last.num_tokens :], encode_sketch(wanted[:, : sketch.projection.rank]))
    key_codes = sketch.key_codes.clone()
    assert tscli.rebuild_sketch("default")
    assert torch.equal(open_stored(library_folder("default")).sketch["planes"], key_codes)


def test_a_chain_that_hangs_on_nothing_is_refused(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    make(load, write_documents()).run()
    path = library_folder("default") / "manifest.json"
    manifest = Manifest.from_json(path.read_text(), path)
    for text in (
        manifest.to_json().replace(f'"parent": "{manifest.segments[0].id}"', '"parent": "elsewhere"', 1),
        manifest.to_json().replace('"documents": "independent"', '"documents": "joint"'),
    ):
        with pytest.raises(DamagedLibrary):
            Manifest.from_json(text, path)


def test_what_the_model_brings_along_is_the_default(small_model: Path, tmp_path: Path, write_documents: WriteDocuments) -> None:
    import json
    import shutil

    model = tmp_path / "model"
    shutil.copytree(small_model, model)
    brought = json.loads((model / "tscli.json").read_text())
    (model / "tscli.json").write_text(json.dumps({**brought, "documents": "independent"}))
    load = tscli.LoadOptions(str(model), dtype="float32", device="cpu")
    make(load, write_documents(), documents=None).run()
    assert open_stored(library_folder("default")).manifest.independent


def test_documents_that_say_the_same_share_their_segments(load: tscli.LoadOptions, tmp_path: Path) -> None:
    """Sections behind the same tokens: as a folder with a copy of a file has, and a file that repeats itself."""
    text = " ".join(f"The keeper wrote line {number} of the log." for number in range(400))
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("a.txt", "b.txt"):
        (docs / name).write_text(text)
    (docs / "c.txt").write_text("The bell rang and nobody came. " * 900)
    options = tscli.IngestOptions(documents="independent", prefill="sections")
    done = tscli.prepare([docs], "default", load, options=options).run()
    stored = open_stored(library_folder("default"))
    ids = [record.id for record in stored.manifest.segments]
    assert len(set(ids)) < len(ids)
    assert done.total_tokens == stored.manifest.num_tokens == sum(record.num_tokens for record in stored.manifest.segments)
    assert done.prefilled_tokens < done.total_tokens
    again = tscli.prepare([docs], "default", load, options=options).run()
    assert again.prefilled_tokens == 0
    assert not tscli.verify("default")
    shared = next(stored.folder / "segments" / f"{one}.pt" for one in ids if ids.count(one) > 1)
    shared.write_bytes(shared.read_bytes()[:-1] + b"?")
    assert len(tscli.verify("default")) == 1
    tscli.repair("default")
    assert not tscli.verify("default")
