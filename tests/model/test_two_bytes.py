"""Wide linear layers by 16-bit integers: near the full ones in every architecture, a token at a time as in a chunk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.architectures import ARCHITECTURES, make_decoder
from tests.model.test_int8_weights import error, logits
from tests.model.test_llama import CPU, FITTING, save
from tscli.model import decoder as decoder_module
from tscli.model import linear
from tscli.model.decoder import Decoder
from tscli.model.llama import load_llama
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli_kernels import two_bytes_are_faster

TOKENS = 60
NOTE = "wide linear layers multiply 16-bit integers, which is faster here than float32"
needs_products = pytest.mark.skipif(not two_bytes_are_faster(), reason="this processor multiplies float32 as fast as bytes")


@pytest.fixture(autouse=True)
def narrow_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "NARROW", 1)


def check(decoder: Decoder) -> None:
    token_ids = torch.randint(1, 128, (TOKENS,), generator=torch.Generator().manual_seed(1))
    full, parameters = logits(decoder, token_ids, 13), decoder.num_parameters
    bytes_full = sum(weight.nbytes for weight in decoder.weights)
    decoder.use_two_bytes()
    found = logits(decoder, token_ids, 13)
    assert 1e-6 < error(found, full) < 1e-2
    assert error(logits(decoder, token_ids, 1), found) < 1e-3
    assert (decoder.weights_name, decoder.num_parameters) == ("int16", parameters)
    assert sum(weight.nbytes for weight in decoder.weights) < bytes_full
    assert NOTE in decoder.notes


@needs_products
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_transformers_models_run_by_them(name: str) -> None:
    check(make_decoder(name))


@needs_products
@pytest.mark.parametrize("name", FITTING)
def test_plain_models_run_by_them(tmp_path: Path, name: str) -> None:
    check(load_llama("m", save(tmp_path, *FITTING[name]), torch.float32, CPU))


@needs_products
@pytest.mark.parametrize(
    ("weights", "dtype", "whether"), [("auto", "float32", True), ("full", "float32", False), ("auto", "bfloat16", False)]
)
def test_they_are_loaded_where_float32_would_run(tmp_path: Path, weights: str, dtype: str, whether: bool) -> None:
    folder = save(tmp_path, *FITTING["llama"])
    decoder = load_decoder(LoadOptions(str(folder), dtype=dtype, device="cpu", weights=weights), lasting=True)
    matrices = [weight for weight in decoder.weights if weight.ndim > 1 and weight.is_floating_point()]
    assert (len(matrices) == 2) == whether  # the embedding and the head
    assert (NOTE in decoder.notes) == whether


@needs_products
def test_narrow_layers_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    decoder = load_llama("m", save(tmp_path, *FITTING["llama"]), torch.float32, CPU)
    before = {id(weight) for weight in decoder.weights}
    decoder.use_two_bytes()
    assert {id(weight) for weight in decoder.weights} == before
    assert NOTE not in decoder.notes


def test_full_weights_run_where_they_are_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_module, "two_bytes_are_faster", lambda: False)
    decoder = load_decoder(LoadOptions(str(save(tmp_path, *FITTING["llama"])), dtype="float32", device="cpu"), lasting=True)
    assert NOTE not in decoder.notes


def test_one_short_question_does_not_wait_for_them_to_be_packed(tmp_path: Path) -> None:
    decoder = load_decoder(LoadOptions(str(save(tmp_path, *FITTING["llama"])), dtype="float32", device="cpu"))
    assert NOTE not in decoder.notes
