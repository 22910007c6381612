"""Stock transformers beside our methods: the same model, the same tokens, a cache that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tscli.bench import transformers_peer
from tscli.bench.rows import Unavailable
from tscli.bench.transformers_peer import TransformersPeer, open_transformers
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


@pytest.mark.parametrize("fastest", ["float32", "bfloat16"])
def test_it_runs_in_the_dtype_in_which_a_trial_is_fastest(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, fastest: str
) -> None:
    decoder = load_decoder(LoadOptions(str(small_model), dtype="float32", device="cpu"))
    seconds = {"float32": 1.0, "bfloat16": 1.0, fastest: 0.5}
    monkeypatch.setattr(TransformersPeer, "trial", lambda peer: seconds[str(peer.dtype).removeprefix("torch.")])
    said: list[str] = []
    peer = open_transformers(decoder, 100, said.append)
    assert (str(peer.module.dtype), said) == (f"torch.{fastest}", [f"transformers: {fastest} is fastest"])
    fields = peer.fields
    assert fields["backend"] == f"cpu {fastest}, kv {fastest}, weights {fastest}"
    assert (fields["kv_dtype"], fields["weights"], fields["tried_s"]) == (fastest, fastest, seconds)
    assert fields["size"] == decoder.num_parameters * peer.dtype.itemsize


def test_a_trial_takes_time_and_keeps_nothing(small_model: Path) -> None:
    peer = TransformersPeer(small_model, torch.bfloat16, CPU)
    assert peer.trial() > 0
    assert peer.cache is None


def test_a_dtype_that_memory_does_not_hold_is_not_tried(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = load_decoder(LoadOptions(str(small_model), dtype="float32", device="cpu"))
    cache_bytes = round(transformers_peer.COPIES) * 100 * 2 * 3 * 2 * 16 * 2  # of 100 tokens, in bfloat16
    monkeypatch.setattr(transformers_peer, "available_bytes", lambda: 2 * decoder.num_parameters + cache_bytes)
    assert list(open_transformers(decoder, 100).tried_s) == ["bfloat16"]
    with pytest.raises(Unavailable, match="in no dtype"):
        open_transformers(decoder, 101)
