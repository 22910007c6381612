"""Peers in the benchmark: their rows, the ratios, and the reasons where there is nothing to measure."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import tscli
from tscli.bench import setting
from tscli.errors import UsageError
from tscli.model.options import LoadOptions


def bench(model: Path, length: int = 300, names: tuple[str, ...] = ("transformers",)) -> list[tscli.BenchRow]:
    load = LoadOptions(str(model), dtype="float32", device="cpu")
    return tscli.benchmark([length], load, tscli.SelectionOptions(), 3, 1, peers=names).rows


def test_a_peer_has_its_rows_with_ratios_over_dense(small_model: Path) -> None:
    rows = bench(small_model)
    assert [(row.test, row.method) for row in rows] == [
        (test, method) for test in ("pp300", "tg3 @ d300") for method in ("dense", "tokenselect", "transformers")
    ]
    assert all(row.ratio is not None and row.ratio > 0 for row in rows)


def test_a_peer_that_is_not_installed_is_skipped_with_the_way_to_install_it(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    rows = [row for row in bench(small_model, names=("llama.cpp", "transformers")) if row.method != "dense"]
    assert [row.skipped for row in rows if row.method == "llama.cpp"] == [
        'llama-cpp-python is not installed (pip install "tscli[peers]")'
    ] * 2
    assert all(row.ratio for row in rows if row.method != "llama.cpp")


def test_a_prefill_past_the_limit_is_skipped_and_the_depth_still_decoded(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting, "PREFILL_LIMIT_S", 0.0)
    found = bench(small_model)
    for method, run in (("dense", 150), ("tokenselect", 32), ("transformers", 150)):
        rows = {row.test: row for row in found if row.method == method}
        assert "the limit is 0 s" in str(rows["pp300"].skipped)
        assert rows["pp300"].fields["expected_s"] > 0
        assert rows["tg3 @ d300"].skipped is None
        assert rows["tg3 @ d300"].fields["n_run"] == run
        assert rows["tg3 @ d300"].fields["n_repeated"] == 300 - run


def test_a_full_prefill_knows_no_limit(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting, "PREFILL_LIMIT_S", 0.0)
    load = LoadOptions(str(small_model), dtype="float32", device="cpu")
    rows = tscli.benchmark([300], load, n_gen=3, repetitions=1, peers=["transformers"], full_prefill=True).rows
    assert [row.skipped for row in rows] == [None] * 6
    assert {(row.fields["n_run"], row.fields["n_repeated"]) for row in rows} == {(300, 0)}


def test_slow_steps_are_fewer_and_the_test_is_named_by_them(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting, "DECODE_LIMIT_S", 0.0)
    load = LoadOptions(str(small_model), dtype="float32", device="cpu")
    rows = tscli.benchmark([300], load, n_gen=20, repetitions=3, peers=["transformers"]).rows[3:]
    assert [row.test for row in rows] == ["tg4 @ d300"] * 3
    assert [(row.fields["n_gen"], len(row.fields["samples_ns"])) for row in rows] == [(4, 1)] * 3


def test_what_memory_cannot_hold_is_skipped(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    per_token = 2 * 3 * 2 * 16 * 4
    monkeypatch.setattr(setting, "available_bytes", lambda: 2 * 300 * per_token)
    skipped = {row.method: row.skipped for row in bench(small_model)}
    assert skipped["tokenselect"] is None
    assert "of memory" in str(skipped["dense"])
    assert "of memory" in str(skipped["transformers"])


def test_dense_seconds_are_linear_and_quadratic() -> None:
    assert setting.dense_seconds(lambda n: 0.5 * n + 0.01 * n**2, 1000, 10) == pytest.approx(500 + 10_000)


@pytest.mark.parametrize("name", ["rag", "rag-llama.cpp"])
def test_passages_are_read_for_each_question_and_nothing_before(small_model: Path, name: str) -> None:
    pytest.importorskip("bm25s", reason="bm25s is not installed")
    if name != "rag":
        pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    first, second = (row for row in bench(small_model, 2000, (name,)) if row.method == name)
    assert first.skipped == "it reads nothing before a question"
    assert second.test == "tg3 @ d2000"
    assert min(second.fields["n_read"]) > 100
    assert second.fields["ttft_ms"] > 0
    assert ("llama-cpp-python" in second.fields["versions"]) == (name != "rag")


def test_an_unknown_peer_is_refused(small_model: Path) -> None:
    with pytest.raises(UsageError, match=r"only transformers, llama\.cpp, rag, rag-llama\.cpp"):
        bench(small_model, names=("vllm",))


def test_a_model_that_llama_cpp_is_not_given_is_skipped(small_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    other = shutil.copytree(small_model, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    (other / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}))
    rows = [row for row in bench(other, names=("llama.cpp",)) if row.method == "llama.cpp"]
    assert len(rows) == 2
    assert all("only Llama and Mistral with plain rotary positions" in str(row.skipped) for row in rows)
