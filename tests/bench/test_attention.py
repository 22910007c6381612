"""One layer's attention measured: every method has its rows, ratios are over the best dense one, inputs are like real ones."""

from __future__ import annotations

import pytest
import torch

from tscli.bench import attention, benchmark_attention
from tscli.bench.dense_attention import blocked_attention
from tscli.bench.inputs import PRESETS, draw_inputs
from tscli.errors import UsageError
from tscli.selection import candidates

CPU = torch.device("cpu")


@pytest.mark.slow
def test_every_way_has_a_row_and_ratios_are_over_the_best_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 4096)
    monkeypatch.setattr(attention, "CACHE_BYTES", 1 << 20)
    bench = benchmark_attention([8192], repetitions=1, device="cpu")
    names = {test: [row.method for row in bench.rows if row.test == test] for test in ("chunk", "decode")}
    dense, sparse = ["dense-sdpa", "dense-matmul"], ["tokenselect-exact", "tokenselect-sketch"]
    assert names == {"chunk": dense + sparse, "decode": [*dense, *sparse, "tokenselect-cached"]}
    scans = [(row.method, row.bytes) for row in bench.rows if row.test == "scan"]
    assert scans == [("exact", 2 << 20), ("sketch", 1 << 18), ("head", 1 << 20)]
    for row in (row for row in bench.rows if row.test != "scan"):
        best = min(r.ms for r in bench.rows if r.test == row.test and r.method.startswith("dense"))
        assert row.ratio == pytest.approx(best / row.ms)
        assert row.bytes > 0
        assert (row.vote_mass is not None) is (row.method == "tokenselect-sketch")
        assert row.vote_mass is None or (row.vote_mass >= 0.99 and row.widened in (1, 4, 16))
    assert bench.to_json()["settings"]["preset"] == "reader"  # type: ignore[index]


@pytest.mark.parametrize("preset", list(PRESETS))
def test_inputs_have_the_presets_shapes_and_queries_that_tell_keys_apart(preset: str) -> None:
    shape = PRESETS[preset]
    inputs = draw_inputs(shape, 4096, 64, CPU)
    assert inputs.pages.key.shape == (1, 64, shape.kv_heads, 64, shape.head_dim)
    assert inputs.sketch.key_codes[:, :, :, : inputs.sketch.length].shape == (1, shape.kv_heads, shape.head_dim // 16, 4096, 4)
    assert inputs.sketch_of(3).key_codes.shape == (3, shape.kv_heads, shape.head_dim // 16, 4096, 4)
    assert {tuple(query.shape) for query in inputs.chunks} == {(shape.q_heads, 512, shape.head_dim)}
    assert {tuple(query.shape) for query in inputs.steps} == {(shape.q_heads, 1, shape.head_dim)}
    key = inputs.pages.key[0, :, 0].reshape(-1, shape.head_dim).float()
    turned = [shape.rotator(CPU)(query, torch.tensor([64]), 0, length=65) for query in inputs.steps]
    scores = torch.stack([key @ query[0, 0].float() for query in turned])
    top = torch.softmax(scores, dim=-1).topk(64, dim=-1).values.sum(-1).mean()
    assert top > 0.5


@pytest.mark.parametrize("preset", list(PRESETS))
def test_queries_are_scored_as_the_readers_were(preset: str) -> None:
    shape = PRESETS[preset]
    query = torch.randn(3, 5, shape.head_dim, generator=torch.Generator().manual_seed(1))
    found = shape.rotator(CPU)(shape.unrotated(query, 64), torch.arange(64, 69), 0, length=69)
    torch.testing.assert_close(found, query, rtol=1e-4, atol=1e-5)


def test_blocked_dense_attention_is_attention() -> None:
    draw = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, n, 16, generator=draw) for n in (70, 150_000, 150_000))
    wanted = torch.softmax(query @ key.mT * 16**-0.5, dim=-1) @ value
    torch.testing.assert_close(blocked_attention(query, key, value), wanted, rtol=1e-3, atol=1e-4)


def test_unknown_presets_and_short_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="choose reader, qwen2"):
        benchmark_attention([8192], "gpt")
    with pytest.raises(UsageError, match="at least 6,400 tokens"):
        benchmark_attention([1024])
