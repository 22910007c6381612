"""The sketch of a library: made while it is ingested, used to select, kept with it, the same after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

import tscli
from tscli.errors import DamagedLibrary
from tscli.ingest import ingest, prefill, sketching
from tscli.ingest.prefill import prefill_in_memory
from tscli.ingest.sketching import passages_as_questions
from tscli.library import layout as engine_library
from tscli.library.layout import sketch_of
from tscli.model.load import load_decoder
from tscli.selection import candidates, guard
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import Sketch
from tscli.store import library_folder, require_manifest
from tscli.store import open_library as open_stored
from tscli.tokens import load_template, load_tokenizer
from tscli_kernels import encode_sketch

CPU = torch.device("cpu")
CONFIG = SelectionConfig(k=16, n_init=4, n_local=16, chunk=32, pool=3)


@pytest.fixture(autouse=True)
def short_contexts_are_sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (candidates, sketching):
        monkeypatch.setattr(module, "SKETCH_FROM", 512)
    monkeypatch.setattr(sketching, "READING_FROM", 512)
    for module in (ingest, prefill):
        monkeypatch.setattr(module, "SEGMENT_TOKENS", 512)


def load(model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(model), dtype="float32", device="cpu")


@pytest.fixture
def write_documents(tmp_path: Path) -> Callable[..., Path]:
    """Writes so many random words into a file: keys that repeat would be selected in no particular order."""

    def write(words: int) -> Path:
        draw, letters = Random(words), "abcdefghijklmnopqrstuvwxyz"
        (tmp_path / "docs").mkdir(exist_ok=True)
        text = " ".join("".join(draw.choices(letters, k=draw.randint(2, 7))) for _ in range(words))
        (tmp_path / "docs" / "a.txt").write_text(text)
        return tmp_path / "docs"

    return write


def make(model: Path, docs: Path, **options: object) -> tscli.IngestReport:
    return tscli.prepare([docs], load=load(model), selection=tscli.SelectionOptions(k=16, **options)).run()  # type: ignore[arg-type]


def answer(model: Path, **options: object) -> tscli.Answer:
    selection = tscli.SelectionOptions(k=16, **options)  # type: ignore[arg-type]
    with tscli.open_library(load=load(model), selection=selection, question_mode="two_pass") as session:
        stream = session.ask("Where is the stone?", max_new_tokens=8)
        list(stream)
        return stream.answer


def stored_sketch() -> dict[str, torch.Tensor]:
    return {name: part.clone() for name, part in open_stored(library_folder("default")).sketch.items()}


def test_a_long_context_gets_a_sketch_of_all_its_keys(small_model: Path, write_documents: Callable[..., Path]) -> None:
    report = make(small_model, write_documents(words=500))
    stored = open_stored(library_folder("default"))
    sketch = sketch_of(stored.sketch, CPU)
    assert sketch is not None
    assert sketch.length == report.total_tokens
    wanted = sketch.projection.keys(1, stored.segments[1].key[1].transpose(0, 1).flatten(1, 2))
    assert torch.equal(sketch.key_codes[1, :, :, 512:1024], encode_sketch(wanted[:, : sketch.projection.rank]))


def test_a_short_context_and_an_exact_one_get_none(small_model: Path, write_documents: Callable[..., Path]) -> None:
    make(small_model, write_documents(words=20))
    assert not stored_sketch()
    make(small_model, write_documents(words=500), scan="exact")
    assert not stored_sketch()
    assert answer(small_model).statistics.scan == "exact"


def test_an_answer_by_the_sketch_says_how_much_of_the_exact_selection_it_held(
    small_model: Path, write_documents: Callable[..., Path]
) -> None:
    make(small_model, write_documents(words=500))
    statistics = answer(small_model).statistics
    assert statistics.scan == "sketch"
    assert statistics.fidelity is not None
    assert statistics.fidelity.compared >= 1
    assert 0 < statistics.fidelity.vote_mass <= 1
    assert answer(small_model, scan="exact").statistics.fidelity is None


def test_with_every_coordinate_the_sketch_selects_what_the_exact_scan_selects(
    small_model: Path, write_documents: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketching, "ranks", lambda head_dim: (head_dim,))
    monkeypatch.setattr(guard, "EVERY", 2)
    make(small_model, write_documents(words=700))
    fidelity = answer(small_model).statistics.fidelity
    assert fidelity is not None
    assert fidelity.compared > 10
    assert fidelity.vote_mass > 0.98
    assert fidelity.recall > 0.8  # votes of a random model differ little: where they are cut off is chance


def test_as_few_coordinates_are_kept_as_recall_enough(
    small_model: Path, write_documents: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    for enough in (0.0, 1.1):
        monkeypatch.setattr(sketching, "ENOUGH", enough)
        monkeypatch.setenv("TSCLI_HOME", str(small_model.parent / f"home-{enough}"))
        make(small_model, write_documents(words=500))
        kept.append(int(stored_sketch()["rank"]))
        assert stored_sketch()["planes"].shape[2] == kept[-1] / 4
    assert kept == [4, 8]  # of head_dim 16: the least, and the most where even that is not enough


def test_the_sketch_is_the_same_after_an_interruption(small_model: Path, write_documents: Callable[..., Path]) -> None:
    docs = write_documents(words=700)
    make(small_model, docs)
    whole, segments = stored_sketch(), require_manifest(library_folder("default")).segments
    for record in segments[-2:]:
        (library_folder("default") / "segments" / f"{record.id}.pt").unlink()
    report = make(small_model, docs)
    assert report.prefilled_tokens == sum(record.num_tokens for record in segments[-2:])
    again = stored_sketch()
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert require_manifest(library_folder("default")).segments == segments


def test_the_sketch_can_be_made_anew_from_the_keys(small_model: Path, write_documents: Callable[..., Path]) -> None:
    make(small_model, write_documents(words=500))
    folder, whole = library_folder("default"), stored_sketch()
    path = folder / require_manifest(folder).sketch_file
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DamagedLibrary, match="sketch-"):
        open_stored(folder)
    assert [problem.file for problem in tscli.verify()] == [str(path)]
    assert tscli.rebuild_sketch()
    again = stored_sketch()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert not tscli.verify()
    assert tscli.prune()[0] == 2  # the context and the sketch of before
    assert answer(small_model).statistics.scan == "sketch"


def test_a_library_of_before_the_sketch_is_scanned_exactly(small_model: Path, write_documents: Callable[..., Path]) -> None:
    make(small_model, write_documents(words=500))
    path = library_folder("default") / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("checksum", "sketch_file", "sketch_size", "sketch_xxh3"):
        del manifest[name]
    path.write_text(json.dumps(manifest))
    assert answer(small_model).statistics.scan == "exact"


def test_a_context_in_memory_gets_the_same_keys_and_sketch_as_a_library(
    small_model: Path, write_documents: Callable[..., Path]
) -> None:
    make(small_model, write_documents(words=500), n_init=4, n_local=16, chunk=32, pool=3)
    stored = open_stored(library_folder("default"))
    ids, tokenizer = stored.context["token_ids"].long(), load_tokenizer(str(small_model))
    prompts = passages_as_questions(ids, tokenizer, load_template(tokenizer))
    state = prefill_in_memory(load_decoder(load(small_model)), ids, CONFIG, prompts=prompts, kv_dtype="bfloat16")
    for mine, kept in zip(state.segments, stored.segments, strict=True):
        assert torch.equal(mine.key[:, :-1], kept.key[:, :-1])
    assert isinstance(state.sketch, Sketch)
    assert torch.equal(state.sketch.key_codes[:, :, :, : state.sketch.length], stored.sketch["planes"])


def test_keys_of_an_earlier_prefill_answer_and_are_not_built_upon(
    small_model: Path, write_documents: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = write_documents(words=100)
    make(small_model, documents)
    before = {record.id for record in require_manifest(library_folder("default")).segments}
    monkeypatch.setattr(engine_library, "PREFILL_VERSION", 99)
    assert answer(small_model).statistics.recomputed_tokens == 0
    make(small_model, documents)
    after = {record.id for record in require_manifest(library_folder("default")).segments}
    assert not before & after
