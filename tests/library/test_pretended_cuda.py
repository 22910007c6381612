"""Libraries on a GPU that is pretended: read and asked there as on the CPU, and also where the pages have no room there."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch

import tscli
from tests.pretend_cuda import PretendedCuda
from tscli import reader
from tscli.ingest import sketching
from tscli.ingest.estimate import Estimate
from tscli.ingest.rebuild import rebuild_sketch
from tscli.selection import candidates
from tscli.selection.sketch import Sketch

QUESTION, TOKENS = "Who?", 3


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("ingest.ingest", "library.layout", "ingest.prefill"):
        monkeypatch.setattr(f"tscli.{place}.SEGMENT_TOKENS", 128)
    monkeypatch.setattr("tscli.ingest.ingest.estimate", lambda *_, **__: Estimate(1.0, 1))  # which scans thousands of tokens


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contexts of a hundred tokens are long ones."""
    for place in (candidates, sketching):
        monkeypatch.setattr(place, "SKETCH_FROM", 96)
    monkeypatch.setattr(sketching, "CHUNKS", 2)
    monkeypatch.setattr(sketching, "PASSAGES", 2)
    for place in ("tscli.selection.candidates", "tscli.model.selectors"):
        monkeypatch.setattr(f"{place}.num_candidates", lambda k, n: 3 * k)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Words of which none stands twice: of equal keys it is rounding that decides."""
    vocabulary = json.loads((reader.path() / "tokenizer.json").read_text())["model"]["vocab"]
    words = sorted(word[1:] for word in vocabulary if word[:1] == "\u0120" and word[1:].isascii() and word[1:].isalpha())
    Random(0).shuffle(words)
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.txt").write_text(" ".join(words[number * 110 : (number + 1) * 110]))
    return folder


def load(model: Path, device: str) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(model), dtype="float32", device=device)


def ask(model: Path, device: str, library: str | list[str] = "default", mode: str = "token", **selection: object) -> list[int]:
    """The answer's tokens, each of which selects for itself."""
    chosen = tscli.SelectionOptions(theta=1.01, k=20, **selection)  # type: ignore[arg-type]
    with tscli.open_library(library, load(model, device), chosen, question_mode=mode) as session:  # type: ignore[arg-type]
        stream = session.ask(QUESTION, max_new_tokens=TOKENS)
        list(stream)
        return stream.answer.token_ids


def ingest(model: Path, device: str, paths: Path, library: str = "default", **options: object) -> None:
    tscli.prepare([paths], library, load(model, device), options=tscli.IngestOptions(**options)).run()  # type: ignore[arg-type]


@pytest.mark.parametrize(("documents", "kv_dtype", "mode"), [("joint", "model", "token"), ("independent", "int8", "two_pass")])
def test_what_is_read_and_asked_there_is_what_the_cpu_reads_and_answers(
    documents: str, kv_dtype: str, mode: str, small_model: Path, docs: Path, request: pytest.FixtureRequest
) -> None:
    options = {"documents": documents, "kv_dtype": kv_dtype}
    ingest(small_model, "cpu", docs, **options)
    wanted = ask(small_model, "cpu", mode=mode)
    there: PretendedCuda = request.getfixturevalue("pretended_cuda")
    assert ask(small_model, "cuda", mode=mode) == wanted
    assert there.launches["score_kernel"]
    ingest(small_model, "cuda", docs, "there", **options)
    assert ask(small_model, "cuda", "there", mode=mode) == wanted


@pytest.fixture
def no_room(pretended_cuda: PretendedCuda, monkeypatch: pytest.MonkeyPatch) -> PretendedCuda:
    """The device, with no memory left for pages."""

    def moved(*_: object) -> None:
        raise torch.OutOfMemoryError("pages are moved that have no room")

    pretended_cuda.free_bytes = 0
    monkeypatch.setattr("tscli.library.layout.on_device", moved)
    return pretended_cuda


@pytest.mark.slow
@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
def test_a_library_beyond_its_memory_stays_mapped_and_answers_alike(
    kv_dtype: str, small_model: Path, docs: Path, sketched: None, request: pytest.FixtureRequest
) -> None:
    ingest(small_model, "cpu", docs, kv_dtype=kv_dtype)
    wanted = [ask(small_model, "cpu", scan=scan) for scan in ("exact", "sketch")]
    there: PretendedCuda = request.getfixturevalue("no_room")
    with tscli.open_library(load=load(small_model, "cuda")) as session:
        state = session.strategy.state
        assert {segment.key.device.type for segment in state.segments} == {"cpu"}
        assert isinstance(state.sketch, Sketch)
        assert state.sketch.key_codes.is_cuda
    assert [ask(small_model, "cuda", scan=scan) for scan in ("exact", "sketch")] == wanted
    assert there.launches["sketch_kernel"]
    assert "attend_kernel" not in there.launches  # no pages lie there to be attended to
    if kv_dtype == "int8":
        assert rebuild_sketch()
        assert ask(small_model, "cuda") == wanted[1]
    else:
        ingest(small_model, "cuda", docs, "there", kv_dtype=kv_dtype)
        assert ask(small_model, "cuda", "there") == wanted[1]


@pytest.mark.slow
def test_joined_libraries_answer_alike_with_room_there_and_without(
    small_model: Path, docs: Path, sketched: None, request: pytest.FixtureRequest
) -> None:
    for number in range(2):
        ingest(small_model, "cpu", docs / f"{number}.txt", f"half{number}", documents="independent")
    both = ["half0", "half1"]
    wanted = [ask(small_model, "cpu", both, scan=scan) for scan in ("exact", "sketch")]
    for room in ("pretended_cuda", "no_room"):
        request.getfixturevalue(room)
        assert [ask(small_model, "cuda", both, scan=scan) for scan in ("exact", "sketch")] == wanted


@pytest.mark.slow
def test_questions_together_get_there_what_the_cpu_answers(
    small_model: Path, docs: Path, request: pytest.FixtureRequest
) -> None:
    ingest(small_model, "cpu", docs)
    found = list[list[list[int]]]()
    for device in ("cpu", "cuda"):
        if device == "cuda":
            request.getfixturevalue("pretended_cuda")
        with tscli.open_library(load=load(small_model, device)) as session:
            answers = list(session.ask_batch(["Who?", "Where?"], 2, max_new_tokens=2))
        found.append([answer.token_ids for answer in answers])
    assert [len(token_ids) for token_ids in found[0]] == [2, 2]
    assert found[1] == found[0]
