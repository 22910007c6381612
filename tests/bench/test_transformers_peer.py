"""Stock transformers beside our methods: the same model, the same tokens, a cache that is kept."""

from __future__ import annotations

from pathlib import Path

import torch

from tscli.bench.transformers_peer import TransformersPeer
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions

CPU = torch.device("cpu")


def test_the_kept_cache_holds_the_models_keys_and_is_left_as_it_was(small_model: Path) -> None:
    ids = torch.randint(1000, (100,), generator=torch.Generator().manual_seed(1))
    peer = TransformersPeer(small_model, torch.float32, CPU)
    assert peer.prefill(ids) > 0
    before = peer.cache.layers[1].values.clone()
    for _ in range(2):
        times = peer.decode(5)
        assert len(times) == 6
        assert times == sorted(times)
        assert torch.equal(peer.cache.layers[1].values, before)
    state = load_decoder(LoadOptions(str(small_model), dtype="float32", device="cpu"))
    wanted = state.reference_logits(torch.cat([ids, ids.new_ones(1)]))[-1]
    found = peer.module(ids.new_ones(1, 1), past_key_values=peer.cache).logits[0, -1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_filled_cache_has_the_depth_and_decodes(small_model: Path) -> None:
    peer = TransformersPeer(small_model, torch.float32, CPU)
    peer.fill(torch.arange(40), 103)
    values = peer.cache.layers[2].values
    assert torch.equal(values[:, :, 80:], values[:, :, :23])
    assert len(peer.decode(4)) == 5
    assert peer.cache.get_seq_length() == 103
