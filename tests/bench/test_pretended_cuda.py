"""The lines of `make gpu-bench`, at tiny sizes, on a GPU that is pretended."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tscli
from tests.pretend_cuda import PretendedCuda
from tscli.bench import attention, benchmark_attention, inputs
from tscli.selection import candidates
from tscli.selection.config import SelectionConfig


def test_prefill_and_decode_are_measured(
    small_model: Path, pretended_cuda: PretendedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tscli.ingest.measure.FEW_TOKENS", 128)
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cuda")
    found = tscli.benchmark([100], load, n_gen=2, repetitions=1, kv_dtype="model").rows
    assert {(row.test[:2], row.method) for row in found} == {(k, m) for k in ("pp", "tg") for m in ("dense", "tokenselect")}
    assert all(row.fields["avg_ts"] > 0 for row in found)
    assert pretended_cuda.launches["attend_kernel"]


@pytest.mark.slow
def test_one_layers_attention_is_measured_every_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 256)
    monkeypatch.setattr(attention, "CACHE_BYTES", 1)
    monkeypatch.setattr(attention, "COPY_BYTES", 1 << 16)
    monkeypatch.setattr(attention, "STEPS", 1)
    monkeypatch.setattr(attention, "SelectionConfig", lambda: SelectionConfig(k=8, n_init=4, n_local=16, chunk=16))
    monkeypatch.setattr(inputs, "CHUNK", 16)
    draw = torch.Generator().manual_seed(0)
    real = torch.randn(2, 300, 64, generator=draw), torch.randn(4, 4 * 16 + 40, 64, generator=draw)
    monkeypatch.setattr(inputs, "_real", lambda: real)  # what the embedded reader makes of 16,384 tokens
    wanted = benchmark_attention([512], "reader", repetitions=1, device="cpu").rows
    there: PretendedCuda = request.getfixturevalue("pretended_cuda")
    rows = benchmark_attention([512], "reader", repetitions=1, device="cuda").rows
    assert [(row.test, row.method, row.bytes) for row in rows] == [(row.test, row.method, row.bytes) for row in wanted]
    for mine, other in zip(rows, wanted, strict=True):
        assert mine.vote_mass == (other.vote_mass if other.vote_mass is None else pytest.approx(other.vote_mass, abs=0.05))
    assert {"sketch_kernel", "score_kernel", "score_head_kernel", "attend_kernel"} <= set(there.launches)
