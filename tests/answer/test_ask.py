"""The main path with a small random model: read once, keep, answer; nothing is computed twice."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tscli
from tscli.errors import LibraryError, UsageError
from tscli.library import layout as engine_library

WriteDocuments = Callable[..., Path]


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 512 tokens, so that small documents make several."""
    monkeypatch.setattr("tscli.ingest.ingest.SEGMENT_TOKENS", 512)
    assert engine_library.SEGMENT_TOKENS == 16384


def ask(load: tscli.LoadOptions, library: str = "default", **options: object) -> tscli.Answer:
    with tscli.open_library(library, load=load, **options) as session:  # type: ignore[arg-type]
        stream = session.ask("Where does the stone stand?", max_new_tokens=8)
        text = "".join(stream)
    assert stream.answer.text == text.rstrip()
    return stream.answer


def test_asking_recomputes_no_document_token_and_leaves_the_library_as_it_was(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    report = tscli.prepare([write_documents()], load=load).run()
    before = {path: path.read_bytes() for path in report.folder.rglob("*.pt")}
    first, second = ask(load), ask(load)
    assert first.statistics.recomputed_tokens == 0
    assert first.statistics.cached_tokens == report.total_tokens
    assert first.token_ids == second.token_ids
    assert {path: path.read_bytes() for path in report.folder.rglob("*.pt")} == before


def test_questions_of_one_session_do_not_see_each_other(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library(load=load) as session:
        answers = []
        for question in ("Where does the stone stand?", "Who?", "Where does the stone stand?"):
            stream = session.ask(question, max_new_tokens=8)
            list(stream)
            answers.append(stream.answer.token_ids)
    assert answers[0] == answers[2]


def test_steps_select_as_configured(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents()], load=load).run()
    statistics = ask(load).statistics
    assert statistics.selected_mean == 48
    assert 48 + 4 + 16 < statistics.attended_mean <= 48 + 4 + 16 + 9
    assert statistics.pool == 3
    assert len(statistics.layers) == 3


def test_a_selection_of_everything_answers_as_dense_does_while_all_fits(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    """Inside the model's window (256 positions) compact positions are the true ones."""
    tscli.prepare([write_documents(words=12, files=("a.txt",))], load=load).run()
    sparse, dense = ask(load, selection=tscli.SelectionOptions(k=150)), ask(load, dense=True)
    assert sparse.statistics.total_tokens < 150
    assert sparse.token_ids == dense.token_ids
    assert dense.statistics.dense


@pytest.mark.parametrize("mode", ["token", "chunk", "two_pass"])
def test_every_question_mode_answers_without_recomputing_documents(
    load: tscli.LoadOptions, write_documents: WriteDocuments, mode: str
) -> None:
    tscli.prepare([write_documents()], load=load).run()
    statistics = ask(load, question_mode=mode).statistics
    assert statistics.generated_tokens > 0
    assert statistics.recomputed_tokens == 0
    assert statistics.question_mode == mode


def test_the_time_to_the_first_token_is_the_questions_and_that_of_the_pass_that_makes_it(
    load: tscli.LoadOptions, write_documents: WriteDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library(load=load, question_mode="two_pass") as session:
        forward, began = session.decoder.forward_rows, list[float]()

        def timed(*arguments: Any) -> Any:
            began.append(time.perf_counter())
            return forward(*arguments)

        monkeypatch.setattr(session.decoder, "forward_rows", timed)
        stream = session.ask("Where does the stone stand?", max_new_tokens=4)
        list(stream)
        statistics, read = stream.answer.statistics, session.strategy.question_read
    last = 2 * statistics.prompt_tokens - 1
    assert began[last - 1] < read <= began[last]
    assert statistics.question_s > began[last - 1] - began[0]
    assert statistics.ttft_s == pytest.approx(statistics.question_s + statistics.first_decode_s + statistics.held_s)


def test_a_question_read_twice_attends_to_one_selection_in_all_layers(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    tscli.prepare([write_documents()], load=load).run()
    statistics = ask(load, question_mode="two_pass").statistics
    assert [layer.hit_rate for layer in statistics.layers] == [1.0, 1.0, 1.0]
    assert [layer.selected_mean for layer in statistics.layers] == [48, 48, 48]


def test_an_unknown_question_mode_is_refused(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents(words=20)], load=load).run()
    with pytest.raises(UsageError, match="token, chunk, two_pass"):
        ask(load, question_mode="thrice")


def test_a_stored_library_gives_bit_equal_answers_in_a_new_process(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    tscli.prepare([write_documents()], load=load).run()
    program = (
        "import tscli\n"
        f"with tscli.open_library(load=tscli.LoadOptions({load.model!r}, dtype='float32', device='cpu')) as session:\n"
        "    stream = session.ask('Where does the stone stand?', max_new_tokens=8)\n"
        "    list(stream)\n"
        "    print(stream.answer.token_ids, [source.share for source in stream.answer.sources])\n"
    )
    answer = ask(load)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{answer.token_ids} {[source.share for source in answer.sources]}"


def test_shares_of_the_sources_sum_to_one(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents()], load=load).run()
    sources = ask(load).sources
    assert sum(source.share for source in sources) == pytest.approx(1.0)
    assert {source.file for source in sources} <= {"docs/a.txt", "docs/b.txt", "docs/c.txt"}


def test_sampling_with_a_seed_repeats(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library(load=load) as session:
        runs = []
        for seed in (1, 1, 2):
            stream = session.ask("Where?", max_new_tokens=12, temperature=2.0, top_p=0.95, seed=seed)
            list(stream)
            runs.append(stream.answer.token_ids)
    assert runs[0] == runs[1] != runs[2]


def test_another_model_is_refused_with_the_reason(
    load: tscli.LoadOptions, write_documents: WriteDocuments, small_model: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    tscli.prepare([write_documents()], load=load).run()
    other = tmp_path / "other"
    other.mkdir()
    for path in small_model.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LibraryError, match="model"):
        tscli.open_library(load=tscli.LoadOptions(str(other), dtype="float32", device="cpu"))


@pytest.mark.parametrize("kv_dtype", ["model", "bf16", "int8"])
@pytest.mark.parametrize(("made", "asked"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_a_library_may_be_asked_in_another_dtype(
    write_documents: WriteDocuments, small_model: Path, made: str, asked: str, kv_dtype: str
) -> None:
    how = tscli.LoadOptions(str(small_model), dtype=made, device="cpu")
    tscli.prepare([write_documents()], load=how, options=tscli.IngestOptions(kv_dtype=kv_dtype)).run()  # type: ignore[arg-type]
    for voters in ("calibrated", "all"):
        with tscli.open_library(load=replace(how, dtype=asked), voters=voters) as session:
            assert session.decoder.dtype_name == asked
            assert tscli.info().dtype == made
            stream = session.ask("Where does the stone stand?", max_new_tokens=6)
            list(stream)
            assert stream.answer.token_ids


def test_bfloat16_that_the_processor_does_not_multiply_is_asked_in_float32(
    write_documents: WriteDocuments, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = tscli.LoadOptions(str(small_model), dtype="bfloat16", device="cpu")
    tscli.prepare([write_documents()], load=how).run()
    for native, dtype in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
        monkeypatch.setattr("tscli.model.load.native_dtype", lambda _, native=native: native)
        with tscli.open_library(load=replace(how, dtype="auto")) as session:
            assert session.decoder.dtype_name == dtype
        with tscli.open_library(load=how) as session:
            assert session.decoder.dtype_name == "bfloat16"


def test_an_answer_that_is_asked_for_again_is_counted_anew(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents(words=20)], load=load).run()
    with tscli.open_library(load=load) as session:
        stream = session.ask("Where does the stone stand?", max_new_tokens=4)
        list(stream)
        first = stream.answer
        list(stream)
    assert len(stream.answer.attribution) == len(stream.answer.token_ids) == len(first.token_ids)
    assert stream.answer.sources == first.sources


def test_no_library_is_an_error_that_says_how_to_make_one(load: tscli.LoadOptions) -> None:
    with pytest.raises(LibraryError, match="tscli ingest"):
        tscli.open_library("absent", load=load)


def test_the_answer_is_not_there_before_the_stream_ends(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents(words=20)], load=load).run()
    with tscli.open_library(load=load) as session:
        stream = session.ask("Where?")
        with pytest.raises(UsageError, match="not complete"):
            _ = stream.answer


def test_an_abandoned_stream_leaves_the_cache_clean(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    tscli.prepare([write_documents()], load=load).run()
    expected = ask(load).token_ids
    with tscli.open_library(load=load) as session:
        pieces = iter(session.ask("Something long to begin with", max_new_tokens=20))
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        stream = session.ask("Where does the stone stand?", max_new_tokens=8)
        list(stream)
    assert stream.answer.token_ids == expected


@pytest.mark.parametrize("mode", ["token", "two_pass"])
def test_what_is_left_out_gets_no_attention(load: tscli.LoadOptions, write_documents: WriteDocuments, mode: str) -> None:
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library(load=load, question_mode=mode) as session:  # type: ignore[arg-type]
        free = session.ask("Where does the stone stand?", max_new_tokens=8)
        list(free)
        attribution = free.answer.attribution
        positions = torch.cat([torch.as_tensor(step.positions) for step in attribution]).unique().tolist()
        spans = [(position, position + 1) for position in positions]
        kept = session.ask("Where does the stone stand?", max_new_tokens=8, excluded=spans)
        list(kept)
        assert not {int(place) for step in kept.answer.attribution for place in step.positions} & set(positions)
        again = session.ask("Where does the stone stand?", max_new_tokens=8)
        list(again)
    assert again.answer.token_ids == free.answer.token_ids
