"""A damaged library is made whole: what was lost is run again, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tscli
from tests.store.conftest import edit_manifest
from tscli.errors import DamagedLibrary, LibraryError
from tscli.ingest import ingest, sketching
from tscli.selection import candidates
from tscli.store import library_folder, read_manifest
from tscli.store.manifest import Manifest


@pytest.fixture(scope="module", autouse=True)
def small_segments() -> Iterator[None]:
    """Several segments for each document, and a sketch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest, "SEGMENT_TOKENS", 512)
        for module in (candidates, sketching):
            patch.setattr(module, "SKETCH_FROM", 1024)
        patch.setattr(sketching, "READING_FROM", 1024)
        yield


@pytest.fixture(scope="module", params=["joint", "independent"])
def made(request: pytest.FixtureRequest, small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that every test gets a copy of."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "docs").mkdir()
    for name in "abc":
        words = " ".join(f"{name}{number * 7919 % 1000} stone" for number in range(400))
        (folder / "docs" / f"{name}.txt").write_text(f"The {name} begins here. {words}\n")
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    options = tscli.IngestOptions(documents=request.param)
    return tscli.prepare([folder / "docs"], f"{folder}/library", load, options=options).run().folder


@pytest.fixture
def library(made: Path) -> Path:
    folder = library_folder("default")
    shutil.copytree(made, folder)
    return folder


@pytest.fixture
def documents(library: Path) -> Iterator[Path]:
    """Their folder, which is afterwards as it was."""
    folder = Path(manifest_of(library).documents[0]["source"]).parent
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    yield folder
    for path, content in kept.items():
        path.write_bytes(content)


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def segment_file(folder: Path, index: int) -> Path:
    return folder / "segments" / f"{manifest_of(folder).segments[index].id}.pt"


def computed(folder: Path) -> list[bytes]:
    """All that the manifest refers to, in its order."""
    manifest = manifest_of(folder)
    names = [name for name, _, _ in manifest.plain_files] + [f"segments/{record.id}.pt" for record in manifest.segments]
    return [(folder / name).read_bytes() for name in names]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def refused(name: str) -> None:
    with pytest.raises(DamagedLibrary, match=rf"{name}.*tscli repair default"):
        tscli.open_library()


def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_decoder(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("tscli.ingest.rebuild.load_decoder", load_decoder)


@pytest.mark.parametrize("lost", [(0,), (1,), (2, 4), (-1,)])
def test_damaged_segments_are_run_again_and_nothing_else(library: Path, lost: tuple[int, ...]) -> None:
    before, records = computed(library), manifest_of(library).segments
    for index in lost:
        flip(segment_file(library, index))
    refused(records[lost[0]].id)
    report = tscli.repair()
    assert report.recomputed_tokens == sum(records[index].num_tokens for index in lost) < report.total_tokens
    assert [Path(problem.file).stem for problem in report.problems] == [records[index].id for index in lost]
    assert computed(library) == before
    assert tscli.verify() == []


def test_what_was_computed_behind_a_segment_that_comes_out_otherwise_is_run_again(library: Path) -> None:
    before, records = computed(library), manifest_of(library).segments
    edit_manifest(library, lambda manifest: manifest["segments"][1].update(xxh3="0" * 32))  # as another machine computed it
    behind: set[str | None] = {records[1].id}
    for record in records:
        behind |= {record.id} if record.parent in behind else set()
    report = tscli.repair()
    assert report.recomputed_tokens == sum(record.num_tokens for record in records if record.id in behind)
    assert (report.recomputed_tokens < report.total_tokens / 2) == manifest_of(library).independent
    assert computed(library) == before


def test_a_lost_sketch_is_made_anew_without_running_a_token(library: Path) -> None:
    before = computed(library)
    (library / manifest_of(library).sketch_file).unlink()
    refused("sketch-")
    assert tscli.repair().recomputed_tokens == 0
    assert computed(library) == before


def test_lost_tokens_are_read_again_from_the_documents(library: Path) -> None:
    before = computed(library)
    flip(library / manifest_of(library).context_file)
    refused("context-")
    assert tscli.repair().recomputed_tokens == 0
    assert computed(library) == before


@pytest.mark.parametrize(("change", "words"), [("write", "has changed"), ("unlink", "cannot be read any more")])
def test_lost_tokens_of_a_document_that_is_not_there_any_more_are_an_error_that_names_it(
    library: Path, documents: Path, change: str, words: str
) -> None:
    flip(library / manifest_of(library).context_file)
    document = documents / "b.txt"
    if change == "write":
        document.write_text("Another text.")
    else:
        document.unlink()
    with pytest.raises(DamagedLibrary, match=rf"b\.txt: {words}.*tscli ingest"):
        tscli.repair()


def test_documents_are_not_needed_for_anything_else(library: Path, documents: Path) -> None:
    before = computed(library)
    for path in documents.iterdir():
        path.unlink()
    flip(segment_file(library, 2))
    tscli.repair()
    assert computed(library) == before


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda path: path.write_text("{half")])
def test_a_damaged_manifest_is_made_anew_from_its_copy_without_a_model(
    library: Path, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (library / "manifest.json").read_bytes()
    damage(library / "manifest.json")
    refused("manifest")
    no_model(monkeypatch)
    report = tscli.repair()
    assert [problem.file for problem in report.problems] == [str(library / "manifest.json")]
    assert (library / "manifest.json").read_bytes() == before


def test_without_manifest_and_copy_the_way_out_is_another_ingest(library: Path) -> None:
    for name in ("manifest.json", "manifest.copy.json"):
        flip(library / name)
    with pytest.raises(DamagedLibrary, match="tscli ingest again"):
        tscli.repair()


def test_a_lost_sidecar_costs_nothing(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment_file(library, 1).with_suffix(".json").unlink()
    segment_file(library, 2).with_suffix(".json").write_text(json.dumps({"id": "another"}))
    with monkeypatch.context() as patch:
        no_model(patch)
        assert tscli.repair().problems == ()
    assert segment_file(library, 1).with_suffix(".json").is_file()
    flip(segment_file(library, 3))
    assert tscli.repair().recomputed_tokens == manifest_of(library).segments[3].num_tokens


def test_another_library_gives_back_a_segment_that_both_have(library: Path) -> None:
    before, other = computed(library), library_folder("other")
    shutil.copytree(library, other)
    flip(segment_file(library, 1))
    assert tscli.repair().recomputed_tokens == 0
    assert computed(library) == before


def test_a_whole_library_is_left_as_it_is_and_no_library_is_an_error(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_model(monkeypatch)
    assert tscli.repair().problems == ()
    with pytest.raises(LibraryError, match="no library"):
        tscli.repair("absent")
    assert not library_folder("absent").exists()


def test_another_model_does_not_repair(library: Path) -> None:
    record = manifest_of(library)
    flip(segment_file(library, 1))
    edit_manifest(library, lambda manifest: manifest["fingerprint"].update(model_id="reader", dtype="float32"))
    with pytest.raises(LibraryError, match="model hash"):
        tscli.repair()
    assert manifest_of(library).segments == record.segments
