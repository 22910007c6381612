"""Linear layers by 8-bit weights: near the full ones in every architecture, a token at a time as in a chunk; where refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.architectures import ARCHITECTURES, make_decoder
from tests.model.test_llama import CPU, FITTING, save
from tscli.errors import UsageError
from tscli.model.attention import DenseAttention
from tscli.model.decoder import Decoder
from tscli.model.llama import load_llama
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionConfig
from tscli_kernels import has_int8_products

TOKENS = 60
needs_products = pytest.mark.skipif(not has_int8_products(), reason="this processor's 8-bit products overflow")


def logits(decoder: Decoder, token_ids: torch.Tensor, chunk: int) -> torch.Tensor:
    run = DenseAttention(decoder.new_state(), decoder.rotator, SelectionConfig())
    for start in range(0, token_ids.shape[0], chunk):
        found = decoder.forward(token_ids[start : start + chunk], run)
    assert found is not None
    return found


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted))


def check(decoder: Decoder) -> None:
    token_ids = torch.randint(1, 128, (TOKENS,), generator=torch.Generator().manual_seed(1))
    full, parameters, held = logits(decoder, token_ids, 13), decoder.num_parameters, decoder.weights_name
    assert held == "float32"
    bytes_full = sum(weight.nbytes for weight in decoder.weights)
    decoder.use_int8_weights()
    found = logits(decoder, token_ids, 13)
    assert 1e-4 < error(found, full) < 0.25  # of random weights, a wrong scale or head would give 1
    assert error(logits(decoder, token_ids, 1), found) < 2e-2  # a code may be rounded the other way by a last digit
    assert (decoder.weights_name, decoder.num_parameters) == ("int8", parameters)
    assert sum(weight.nbytes for weight in decoder.weights) < bytes_full
    assert "linear layers run with int8 weights" in decoder.notes


@needs_products
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_transformers_models_run_by_int8_weights(name: str) -> None:
    check(make_decoder(name))


@needs_products
@pytest.mark.parametrize("name", FITTING)
def test_plain_models_run_by_int8_weights(tmp_path: Path, name: str) -> None:
    decoder = load_llama("m", save(tmp_path, *FITTING[name]), torch.float32, CPU)
    assert decoder is not None
    check(decoder)


@needs_products
def test_no_full_matrix_of_a_layer_is_kept(tmp_path: Path) -> None:
    decoder = load_decoder(LoadOptions(str(save(tmp_path, *FITTING["llama"])), dtype="float32", device="cpu", weights="int8"))
    full = [weight for weight in decoder.weights if weight.ndim > 1 and weight.is_floating_point()]
    assert [tuple(weight.shape) for weight in full] == [(128, 64)]  # the embedding, which is looked up in


def test_a_processor_whose_products_overflow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.model.decoder.has_int8_products", lambda: False)
    with pytest.raises(UsageError, match="VNNI"):
        make_decoder().use_int8_weights()


def test_another_device_is_told() -> None:
    decoder = make_decoder()
    decoder.device = torch.device("cuda")
    with pytest.raises(UsageError, match="needs the CPU"):
        decoder.use_int8_weights()


def test_other_weights_are_no_choice(small_model: Path) -> None:
    with pytest.raises(UsageError, match="--weights int4: choose auto, full or int8"):
        load_decoder(LoadOptions(str(small_model), weights="int4"))
