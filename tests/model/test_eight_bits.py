"""Weights of blocks of 5 to 8 bits: known from full ones, kept in 8 bits beside these, and used for answers only."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from tests.model.gguf_files import make_llama, write_llama
from tests.model.test_four_bits import IN_LAYERS, answer_logits, has_products, load, products
from tscli.model import few_bits
from tscli.model.decoder import FEWEST
from tscli.model.eight_bits import FILE, eight_bits_of, is_of_blocks, load_eight_bits
from tscli.model.gguf import gguf_folder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli_kernels import MIDDLE


@pytest.fixture(autouse=True)
def by_torch_in_float32_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.model.decoder.SLOW_IN_TORCH", ())


def blocks(kind: Kind, rows: int = 80, width: int = 512) -> torch.Tensor:
    """Random weights as blocks of this kind have them, dequantised to float16."""
    if kind in (Kind.Q5_K, Kind.Q6_K):  # which gguf reads but does not write
        size = gguf.GGML_QUANT_SIZES[kind][1]
        made = np.random.default_rng(5).integers(0, 256, (rows, width // 256, size), dtype=np.uint8)
        scale = np.array([0.01, 0.02] if kind == Kind.Q5_K else [0.001], dtype=np.float16).view(np.uint8)
        made[..., slice(0, 4) if kind == Kind.Q5_K else slice(-2, None)] = scale
        made = made.reshape(rows, -1)
    else:
        made = gguf.quants.quantize(np.random.default_rng(1).normal(size=(rows, width)).astype(np.float32), kind)
    return torch.from_numpy(gguf.quants.dequantize(made, kind)).half()


def numbers(codes: torch.Tensor, step: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    groups = codes.unflatten(1, (step.shape[1], -1)).double()
    return (zero.double()[..., None] + step.double()[..., None] * (groups - MIDDLE)).flatten(1)


@pytest.mark.parametrize("width", [16, 32])
@pytest.mark.parametrize("kind", [Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.Q5_K, Kind.Q6_K])
def test_blocks_of_5_to_8_bits_are_known_and_no_weight_moves_by_more_than_half_a_step(kind: Kind, width: int) -> None:
    weight = blocks(kind)
    assert is_of_blocks(weight)
    codes, step, zero = eight_bits_of(weight, torch.float32, width)
    moved = (numbers(codes, step, zero) - weight.double()).abs().unflatten(1, (-1, width)).amax(dim=-1)
    assert (moved <= 0.51 * step).all()


@pytest.mark.parametrize("width", [16, 32])
@pytest.mark.parametrize("kind", [Kind.Q5_0, Kind.Q8_0])
def test_blocks_whose_greatest_weight_tells_the_step_are_found_again(kind: Kind, width: int) -> None:
    weight = blocks(kind)
    moved = numbers(*eight_bits_of(weight, torch.float32, width)) - weight.double()
    assert (moved.unflatten(1, (-1, 32)).abs().amax(-1) <= 2**-10 * weight.double().unflatten(1, (-1, 32)).abs().amax(-1)).all()


def test_levels_that_are_rounded_to_bfloat16_move_a_weight_by_no_more_than_rounding_it_does() -> None:
    weight = blocks(Kind.Q8_0)
    greatest = weight.double().unflatten(1, (-1, 32)).abs().amax(-1)
    moved = (numbers(*eight_bits_of(weight, torch.bfloat16)) - weight.double()).unflatten(1, (-1, 32)).abs().amax(-1)
    assert (moved <= 1.3 * 2**-8 * greatest).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_full_weights_are_not_taken_for_blocks(dtype: torch.dtype) -> None:
    assert not is_of_blocks(torch.randn(64, 512).to(dtype))


def test_weights_in_no_whole_blocks_are_none() -> None:
    assert not is_of_blocks(torch.ones(64, 48))
    assert not is_of_blocks(torch.ones(24, 64))


def test_zeros_stay_zero_and_equal_weights_equal() -> None:
    weight = torch.cat([torch.zeros(16, 32), torch.full((16, 32), -0.37)], dim=1).half()
    assert torch.equal(numbers(*eight_bits_of(weight, torch.float32)).half(), weight)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "small.gguf", make_llama(), Kind.Q8_0)


@has_products
@pytest.mark.parametrize("count", [1, FEWEST])
def test_answers_by_8_bits_are_those_by_the_full_weights(model: Path, count: int) -> None:
    by_eight, by_full = load(model), load(model, "full")
    found, wanted = answer_logits(by_eight, count), answer_logits(by_full, count)
    assert products(by_eight, count) == {"nibble_linear": IN_LAYERS + 1}
    assert 0 < torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted) < 5e-3
    assert by_eight.notes == ["answers are made with the file's own weights in 8 bits"]
    assert by_full.notes == []


@has_products
def test_more_tokens_than_8_bits_are_faster_for_run_by_the_full_weights(model: Path) -> None:
    assert torch.equal(answer_logits(load(model), FEWEST + 1), answer_logits(load(model, "full"), FEWEST + 1))


def test_a_file_of_full_weights_is_answered_by_them(tmp_path: Path) -> None:
    decoder = load(write_llama(tmp_path / "full.gguf", make_llama(), Kind.F16))
    assert decoder.few_bits == ()
    assert decoder.notes == []


@has_products
def test_the_next_process_finds_the_matrices_packed_and_answers_alike(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answer_logits(load(model), 2)
    assert (gguf_folder(model) / FILE).is_file()
    monkeypatch.setattr(few_bits, "packed_eight_bits", lambda *_, **__: pytest.fail("packed once more"))
    assert torch.equal(answer_logits(load(model), 2), first)


@has_products
def test_packing_says_how_far_it_is_and_only_the_first_time(model: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def loaded(weights: str = "auto") -> list[tuple[str, int, int]]:
        told.clear()
        load_decoder(LoadOptions(str(model), dtype="float32", device="cpu", weights=weights), lambda *step: told.append(step))
        return told

    assert loaded("full") == []
    first = list(loaded())
    whole = sum(part.numel() for part in make_llama().parameters() if part.ndim > 1)
    assert {text for text, _, _ in first} == {"packing weights in 8 bits"}
    assert [done for _, done, _ in first] == sorted({done for _, done, _ in first})
    assert len(first) == 1 + 2 * 4 + 1  # before all, four matrices of each layer, the head
    assert (first[0][1:], first[-1][1:]) == ((0, whole), (whole, whole))
    assert loaded() == []


@has_products
@pytest.mark.parametrize("other", ["weights", "dtype", "broken", "empty"])
def test_matrices_that_were_packed_otherwise_are_packed_again(model: Path, other: str) -> None:
    first, folder = answer_logits(load(model), 2), gguf_folder(model)
    dtype = torch.float32
    if other == "weights":
        os.utime(folder / "model.safetensors", (0, 0))
    elif other == "dtype":
        dtype = torch.bfloat16
    else:
        (folder / FILE).write_bytes(b"" if other == "empty" else (folder / FILE).read_bytes()[:-1])
    assert load_eight_bits(folder, dtype, in_blocks=False) is None
    if dtype == torch.float32:
        assert torch.equal(answer_logits(load(model), 2), first)
        assert load_eight_bits(folder, dtype, in_blocks=False) is not None
