"""Stock transformers beside our methods: the same model, the same tokens, a cache that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tscli
from tscli.bench.peers import TransformersPeer
from tscli.errors import UsageError
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions

CPU = torch.device("cpu")


def test_the_kept_cache_holds_the_models_keys_and_is_left_as_it_was(small_model: Path) -> None:
    ids = torch.randint(1000, (100,), generator=torch.Generator().manual_seed(1))
    peer = TransformersPeer(small_model, torch.float32, CPU)
    assert peer.prefill(ids) > 0
    before = peer.cache.layers[1].values.clone()
    for _ in range(2):
        times = peer.decode(ids, 5)
        assert len(times) == 6
        assert times == sorted(times)
        assert torch.equal(peer.cache.layers[1].values, before)
    state = load_decoder(LoadOptions(str(small_model), dtype="float32", device="cpu"))
    wanted = state.stock_logits(torch.cat([ids, ids.new_ones(1)]))[-1]
    found = peer.module(ids.new_ones(1, 1), past_key_values=peer.cache).logits[0, -1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_peer_has_its_rows_with_ratios_over_dense(small_model: Path) -> None:
    load = LoadOptions(str(small_model), dtype="float32", device="cpu")
    rows = tscli.benchmark([300], load, tscli.SelectionOptions(), 3, 1, peer="transformers").rows
    assert [(row.test, row.method) for row in rows] == [
        (test, method) for test in ("pp300", "tg3 @ d300") for method in ("dense", "tokenselect", "transformers")
    ]
    assert all(row.ratio is not None and row.ratio > 0 for row in rows)


def test_an_unknown_peer_is_refused(small_model: Path) -> None:
    with pytest.raises(UsageError, match="only transformers"):
        tscli.benchmark([300], LoadOptions(str(small_model)), tscli.SelectionOptions(), 3, 1, peer="vllm")
