"""A benchmark of real text: documents that repeat are read once, and have the keys that reading them again would give."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tscli.bench import setting, voting
from tscli.bench.filling import Room
from tscli.bench.setting import Bench
from tscli.bench.text import DOCUMENT_CHARS, QUESTIONS, MeasuredText, read_text
from tscli.bench.voting import answer_fields, read_library
from tscli.errors import UsageError
from tscli.library.dense_prefill import prefill_documents
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionConfig
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import load_template, load_tokenizer

HEADS = RetrievalHeads(((0, 1), (2, 3)), (0.5, 0.4), 2, True, 0.0)


def bench_of(model: Path, characters: int, kv_dtype: str | None = None) -> Bench:
    decoder = load_decoder(LoadOptions(str(model), dtype="float32", device="cpu"))
    tokenizer = load_tokenizer(str(decoder.folder))
    text = MeasuredText(tokenizer, load_template(tokenizer), read_text(None)[:characters])
    return Bench(decoder, SelectionConfig(), 4, 2, lambda _: None, text, kv_dtype, HEADS)


def test_tokens_are_the_texts_and_begin_again_behind_its_end(small_model: Path) -> None:
    bench = bench_of(small_model, 300)
    whole = bench.ids(10_000)
    period = bench.text.tokenizer.encode_text([read_text(None)[:300]])[0].ids.shape[0]
    assert torch.equal(whole[:period], whole[period : 2 * period])
    assert bench.text.tokenizer.decode(whole[:period].tolist()) == read_text(None)[:300]


def test_a_repeated_document_has_the_keys_of_reading_it_again(small_model: Path) -> None:
    bench = bench_of(small_model, 150)
    library = read_library(bench, 500, Room())
    starts = [document.token_start for document in library.context.documents]
    again = prefill_documents(bench.decoder, library.context.token_ids, starts)
    positions = torch.arange(library.state.committed)
    assert len(starts) > 2
    assert library.num_run < library.state.committed
    for layer in range(bench.decoder.layers):
        for held, wanted in zip(library.state.gather(layer, positions), again.gather(layer, positions), strict=True):
            torch.testing.assert_close(held, wanted)


def test_a_depth_is_about_what_was_asked_for(small_model: Path) -> None:
    bench = bench_of(small_model, 150)
    for length in (400, 2000):
        assert abs(read_library(bench, length, Room()).state.committed - length) < 200


def test_what_is_too_slow_to_read_is_filled_with_what_was_read(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting, "PREFILL_LIMIT_S", 0.0)
    bench = bench_of(small_model, 3 * DOCUMENT_CHARS)
    length = bench.text.context(10**6)[0].token_ids.shape[0] // 2
    library = read_library(bench, length, Room())
    sizes = {document.token_end - document.token_start for document in library.context.documents}
    assert len(sizes) == 1
    assert library.num_run - library.context.documents[0].token_start in sizes


@pytest.mark.parametrize(("prefix", "read"), [(1, 1), (10**6, 3)])
def test_reading_ends_behind_a_beginning_where_all_would_take_too_long(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, prefix: int, read: int
) -> None:
    clock = count(0, 100)  # seconds that a document takes
    monkeypatch.setattr(voting, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    monkeypatch.setattr(setting, "PREFILL_LIMIT_S", 250.0)
    monkeypatch.setattr(voting, "PREFIX", prefix)
    bench = bench_of(small_model, 4 * DOCUMENT_CHARS)
    library = read_library(bench, 20_000, Room())
    assert len({document.sha256 for document in library.context.documents}) == read
    assert library.fields["n_run"] + library.fields["n_repeated"] == library.state.committed


def test_a_full_prefill_reads_repeated_documents_as_well(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting, "PREFILL_LIMIT_S", 0.0)
    library = read_library(replace(bench_of(small_model, 150), full_prefill=True), 500, Room())
    assert (library.fields["n_run"], library.fields["n_repeated"]) == (library.state.committed, 0)


def test_mapped_pages_are_those_in_memory(small_model: Path, tmp_path: Path) -> None:
    bench = bench_of(small_model, 150, "int8")
    held, mapped = (read_library(bench, 500, room).state for room in (Room(), Room(tmp_path)))
    positions = torch.arange(held.committed)
    for one, other in zip(held.gather(1, positions), mapped.gather(1, positions), strict=True):
        assert torch.equal(one, other)
    assert len(list(tmp_path.iterdir())) == len(mapped.segments) - 1  # the shared prefix is in memory


def test_an_answer_has_its_tokens_and_the_time_to_the_first(small_model: Path) -> None:
    bench = bench_of(small_model, 150, "int8")
    fields = answer_fields(bench, read_library(bench, 300, Room()))
    assert len(fields["samples_ts"]) == 2
    assert fields["ttft_ms"] > 0
    assert fields["n_question"] == [len(prompt.ids) for _, prompt in bench.asked()]
    assert len(fields["ttft_samples_ms"]) == len(QUESTIONS)


def test_a_text_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--text .*missing\.txt: No such file"):
        read_text(tmp_path / "missing.txt")
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UsageError, match="it is empty"):
        read_text(tmp_path / "empty.txt")
