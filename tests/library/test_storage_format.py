"""Libraries of 8-bit pages and by 8-bit weights, with a small random model: made once, never mixed, asked in every way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tscli
from tscli.cli.app import run
from tscli.errors import LibraryError, UsageError
from tscli.ingest import sketching
from tscli.selection import candidates
from tscli.store import library_folder, read_manifest
from tscli.store import open_library as open_stored
from tscli_kernels import PAGE_SCALE, encode_sketch, expand_rows, has_int8_products, quantise_rows

INT8, BF16, MODEL = (tscli.IngestOptions(kv_dtype=kind) for kind in ("int8", "bf16", "model"))
needs_products = pytest.mark.skipif(not has_int8_products(), reason="this processor's 8-bit products overflow")


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.ingest.ingest.SEGMENT_TOKENS", 512)


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


@pytest.fixture
def docs(write_documents: Callable[..., Path]) -> Path:
    return write_documents()


def ask(load: tscli.LoadOptions, library: str = "default", **options: object) -> tscli.Answer:
    with tscli.open_library(library, load=load, **options) as session:  # type: ignore[arg-type]
        stream = session.ask("Where does the stone stand?", max_new_tokens=8)
        list(stream)
        return stream.answer


def test_pages_are_the_models_keys_and_values_in_8_bits(load: tscli.LoadOptions, docs: Path) -> None:
    tscli.prepare([docs], "full", load, options=MODEL).run()
    report = tscli.prepare([docs], "int8", load, options=INT8).run()
    full, int8 = (open_stored(library_folder(name)) for name in ("full", "int8"))
    wanted, found = full.segments[0], int8.segments[0]  # nothing was read back before the first
    for rows, codes, scale in zip((wanted.key, wanted.value), (found.key, found.value), found.scales or (), strict=True):
        assert torch.equal(codes, quantise_rows(rows, PAGE_SCALE)[0])
        assert (expand_rows(codes, scale) - rows).norm() / rows.norm() < 1e-2
    head_dim = int8.manifest.fingerprint.head_dim
    sizes = [sum(record.size_bytes for record in library.manifest.segments) for library in (full, int8)]
    assert sizes[1] / sizes[0] == pytest.approx((head_dim + 2) / (4 * head_dim), rel=0.05)
    assert sizes[1] < report.bytes == tscli.info("int8").size_bytes


@pytest.mark.parametrize("mode", ["token", "chunk", "two_pass"])
def test_a_library_of_int8_pages_answers_and_recomputes_nothing(load: tscli.LoadOptions, docs: Path, mode: str) -> None:
    tscli.prepare([docs], load=load, options=INT8).run()
    first, second = ask(load, question_mode=mode), ask(load, question_mode=mode)
    assert first.statistics.recomputed_tokens == 0
    assert first.token_ids == second.token_ids
    assert len(ask(load, dense=True).token_ids) > 0


def test_ingesting_again_keeps_what_a_library_is(load: tscli.LoadOptions, docs: Path) -> None:
    tscli.prepare([docs], load=load, options=INT8).run()
    again = tscli.prepare([docs], load=load)
    assert again.plan.prefill_tokens == 0
    assert again.plan.kv_dtype == "int8"
    again.run()
    (docs / "d.txt").write_text("The fourth begins here. " * 50)
    assert 0 < tscli.prepare([docs], load=load).run().prefilled_tokens < again.plan.total_tokens
    assert tscli.info().kv_dtype == "int8"


def test_an_interrupted_run_goes_on_bit_for_bit(load: tscli.LoadOptions, docs: Path) -> None:
    def stop(done: int, total: int, seconds: float) -> None:
        if done > 700:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tscli.prepare([docs], "stopped", load, options=INT8).run(stop)
    resumed = tscli.prepare([docs], "stopped", load, options=INT8)  # the library has no manifest yet that would say int8
    assert 0 < resumed.plan.cached_tokens < resumed.plan.total_tokens
    folder = resumed.run().folder
    folder.rename(aside := tscli.home() / "aside")
    assert contents(tscli.prepare([docs], "whole", load, options=INT8).run().folder) == contents(aside)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "segments").glob("*.pt")}


@pytest.mark.parametrize(
    ("first", "then"), [("auto", "int8"), ("model", "bf16"), ("auto", "model"), ("int8", "bf16"), ("bf16", "int8")]
)
def test_pages_of_two_kinds_are_not_mixed(load: tscli.LoadOptions, docs: Path, first: str, then: str) -> None:
    tscli.prepare([docs], load=load, options=tscli.IngestOptions(kv_dtype=first)).run()  # type: ignore[arg-type]
    with pytest.raises(
        LibraryError, match=r"library default keeps its pages in \w+; --kv-dtype \w+ does not fit it; leave that"
    ):
        tscli.prepare([docs], load=load, options=tscli.IngestOptions(kv_dtype=then))  # type: ignore[arg-type]


def test_the_models_own_dtype_by_name_is_no_other_kind(load: tscli.LoadOptions, docs: Path) -> None:
    load = replace(load, dtype="bfloat16")
    tscli.prepare([docs], "auto", load).run()
    named = tscli.prepare([docs], "named", load, options=tscli.IngestOptions(kv_dtype="bf16"))
    assert named.plan.prefill_tokens == 0  # the segments of the library beside it
    named.run()
    assert (manifest := read_manifest(library_folder("named"))) is not None
    assert manifest.format_version == 1


def test_a_float32_model_keeps_its_pages_in_bfloat16(load: tscli.LoadOptions, docs: Path) -> None:
    preparation = tscli.prepare([docs], load=load)
    assert (preparation.plan.dtype, preparation.plan.kv_dtype) == ("float32", "bfloat16")
    preparation.run()
    assert tscli.info().kv_dtype == "bfloat16"
    assert open_stored(library_folder("default")).segments[1].value.dtype == torch.bfloat16
    assert ask(load).statistics.recomputed_tokens == 0
    assert tscli.prepare([docs], "named", load, options=BF16).plan.prefill_tokens == 0  # it is the same format


def test_a_library_of_float32_pages_can_be_asked_for_and_stays_one(load: tscli.LoadOptions, docs: Path) -> None:
    tscli.prepare([docs], load=load, options=MODEL).run()
    assert open_stored(library_folder("default")).segments[1].value.dtype == torch.float32
    again = tscli.prepare([docs], load=load)
    assert (again.plan.kv_dtype, again.plan.prefill_tokens) == ("float32", 0)
    again.run()
    assert tscli.info().kv_dtype == "float32"


def test_pages_stay_in_bfloat16_where_the_model_changes_to_float32(load: tscli.LoadOptions, docs: Path) -> None:
    tscli.prepare([docs], load=replace(load, dtype="bfloat16"), options=MODEL).run()
    assert tscli.prepare([docs], load=load).plan.kv_dtype == "bfloat16"


def test_an_unknown_kind_of_pages_is_refused(load: tscli.LoadOptions, docs: Path) -> None:
    with pytest.raises(UsageError, match="--kv-dtype int4: choose auto, bf16, int8, model"):
        tscli.prepare([docs], load=load, options=tscli.IngestOptions(kv_dtype="int4"))  # type: ignore[arg-type]


def test_the_sketch_of_int8_pages_is_of_their_numbers_and_can_be_made_anew(
    load: tscli.LoadOptions, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (candidates, sketching):
        monkeypatch.setattr(module, "SKETCH_FROM", 512)
    monkeypatch.setattr(sketching, "READING_FROM", 512)
    report = tscli.prepare([docs], load=load, selection=tscli.SelectionOptions(k=16), options=INT8).run()
    stored = open_stored(library_folder("default"))
    segment, sketch = stored.segments[1], {name: part.clone() for name, part in stored.sketch.items()}
    assert segment.scales is not None
    key = expand_rows(segment.key[1], segment.scales[0][1]).transpose(0, 1).flatten(1, 2)
    rank = int(sketch["rank"])
    wanted = sketch["key_map"][1, :, :rank] @ (key - sketch["mean"][1][:, None]).transpose(1, 2)
    assert torch.equal(sketch["planes"][1, :, :, 512:1024], encode_sketch(wanted))
    assert tscli.rebuild_sketch()
    made = open_stored(report.folder).sketch
    assert all(torch.equal(made[name], part) for name, part in sketch.items())
    answer = ask(load, selection=tscli.SelectionOptions(k=16))
    assert answer.statistics.scan == "sketch"


@needs_products
def test_int8_weights_are_part_of_what_a_library_is(load: tscli.LoadOptions, docs: Path) -> None:
    int8 = replace(load, weights="int8")
    tscli.prepare([docs], "int8", int8).run()
    full = tscli.prepare([docs], "full", load)
    assert full.plan.prefill_tokens == full.plan.total_tokens  # nothing is shared
    full.run()
    with pytest.raises(LibraryError, match=r"full was made with the model's full weights; --weights int8 does not fit it"):
        tscli.prepare([docs], "full", int8)
    with pytest.raises(LibraryError, match=r"int8 was made with the model's int8 weights; --weights full does not fit it"):
        tscli.prepare([docs], "int8", replace(load, weights="full"))
    assert tscli.prepare([docs], "full", replace(load, weights="full")).plan.prefill_tokens == 0
    again = tscli.prepare([docs], "int8", load)
    assert (again.plan.prefill_tokens, again.plan.weights) == (0, "int8")
    again.run()
    assert (tscli.info("int8").weights, tscli.info("full").weights) == ("int8", "float32")


@needs_products
def test_a_library_is_asked_by_its_own_weights_or_by_int8_ones(load: tscli.LoadOptions, docs: Path) -> None:
    int8, note = replace(load, weights="int8"), "linear layers run with int8 weights"
    tscli.prepare([docs], "int8", int8).run()
    tscli.prepare([docs], "full", load).run()
    assert note in ask(load, "int8").statistics.notes
    assert note not in ask(load, "full").statistics.notes
    assert note in ask(int8, "full").statistics.notes
    assert ask(load, "int8").token_ids == ask(int8, "int8").token_ids


def test_the_command_line_makes_and_names_them(small_model: Path, docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--model", str(small_model), "--dtype", "float32", "--device", "cpu"]
    assert run(["ingest", str(docs), "--kv-dtype", "int8", *common]) == 0
    assert "int8 pages" in capsys.readouterr().err
    assert run(["ingest", str(docs), "--kv-dtype", "bf16", *common]) == LibraryError.exit_code
    assert "does not fit it" in capsys.readouterr().err
    assert run(["list"]) == 0
    assert "(float32, int8 pages)" in capsys.readouterr().out
    assert run(["info"]) == 0
    assert "(float32, int8 pages)" in capsys.readouterr().out
    assert run(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kv_dtype"] == "int8"
