"""Rows of 8-bit codes against the plain float64 reference: how far numbers move, and what is computed from codes."""

from __future__ import annotations

import math

import pytest
import torch

from tests.kernels.test_kernels_against_reference import GROUPS, relative_error
from tscli_kernels import (
    PAGE_SCALE,
    expand_rows,
    has_int8_products,
    int4_linear,
    int8_linear,
    nibble_linear,
    pack_int4,
    pack_nibbles,
    quantise_rows,
    quantised,
    reference,
    row_index,
    score_pages,
    take_rows,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 40, 64, 1000])
def test_codes_and_scales_are_those_of_the_reference(dtype: torch.dtype, width: int) -> None:
    rows = (torch.randn(63, width) * torch.logspace(-3, 3, 63)[:, None]).to(dtype)
    codes, scale = quantise_rows(rows)
    wanted_codes, wanted_scale = reference.quantise_rows(rows.double())
    assert relative_error(scale, wanted_scale) < 1e-6
    assert (codes.double() - wanted_codes).abs().max() <= 1  # a half is rounded up or down as its last digit has it
    assert ((codes.double() - wanted_codes) != 0).double().mean() < 1e-2


@pytest.mark.parametrize("scale_dtype", [torch.float32, PAGE_SCALE])
def test_no_number_moves_by_more_than_half_a_step(scale_dtype: torch.dtype) -> None:
    rows = torch.randn(500, 64) * torch.logspace(-20, 20, 500)[:, None]
    rows[7, 3] = 1e3 * rows[7].abs().max()  # an outlier costs its own row only
    codes, scale = quantise_rows(rows, scale_dtype)
    assert scale.dtype == scale_dtype
    moved = (reference.expand_rows(codes, scale) - rows.double()).abs()
    assert (moved <= scale.double()[:, None] * 0.5001).all()
    others = torch.arange(500) != 7
    assert relative_error(expand_rows(codes, scale)[others], rows[others]) < 1e-2


def test_rows_of_zeros_stay_zero_and_a_nan_is_not_hidden() -> None:
    rows = torch.zeros(2, 16)
    rows[1, 5] = math.nan
    found = expand_rows(*quantise_rows(rows, PAGE_SCALE))
    assert torch.equal(found[0], rows[0])
    assert found[1].isnan().all()


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("num_tokens", [1, 63, 64, 65, 203, 40_000])
def test_scores_of_int8_pages_equal_those_of_their_numbers_in_float64(group: int, num_tokens: int) -> None:
    kv_heads, page_size, head_dim = 2, 64, 40
    codes, scale = quantise_rows(torch.randn(-(-num_tokens // page_size), kv_heads, page_size, head_dim), PAGE_SCALE)
    scale.view(-1)[-1] = math.nan if num_tokens % page_size else 1.0  # a slot behind the last token must not leak
    query = torch.randn(kv_heads * group, head_dim)
    out = torch.full((kv_heads * group, num_tokens), math.nan)
    assert score_pages(query, codes, num_tokens, out=out, scale=scale) is out
    expected = reference.score_pages(query.double(), reference.expand_rows(codes, scale), num_tokens)
    assert relative_error(out, expected) < 1e-5


def test_scores_of_int8_pages_are_within_a_hundredth_of_those_of_the_keys() -> None:
    keys, query = torch.randn(40, 2, 64, 64), torch.randn(8, 64)
    codes, scale = quantise_rows(keys, PAGE_SCALE)
    expected = reference.score_pages(query.double(), keys.double(), 2500)
    assert relative_error(score_pages(query, codes, 2500, scale=scale), expected) < 1e-2


def test_gathered_rows_of_int8_pages_are_their_numbers() -> None:
    codes, scale = quantise_rows(torch.randn(5, 3, 16, 8), PAGE_SCALE)
    positions = torch.tensor([0, 1, 15, 16, 33, 79])
    rows, numbers = take_rows(codes, row_index(positions, *codes.shape[1:3]), scale), reference.expand_rows(codes, scale)
    for column, position in enumerate(positions.tolist()):
        assert torch.equal(rows[:, column].double(), numbers[position // 16, :, position % 16])


@pytest.mark.skipif(not has_int8_products(), reason="this processor's 8-bit products overflow")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (1, 1), (63, 1), (2, 7), (512, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_linear_layer_by_codes_is_near_the_full_one(dtype: torch.dtype, shape: tuple[int, ...], bias: bool) -> None:
    width, out = 111, 63
    x = torch.randn(*shape[:-1], width).to(dtype)
    weight, added = torch.randn(out, width).to(dtype), torch.randn(out).to(dtype) if bias else None
    codes, scale = quantise_rows(weight)
    found = int8_linear(x, codes, scale, added)
    assert found.dtype == dtype
    inputs, sizes = quantise_rows(x)
    by_codes = reference.expand_rows(inputs, sizes) @ reference.expand_rows(codes, scale).T
    full = x.double() @ weight.double().T
    for wanted, tolerance in ((by_codes, 1e-5 if dtype == torch.float32 else 4e-3), (full, 2e-2)):
        assert relative_error(found, wanted + (0 if added is None else added.double())) < tolerance


@pytest.mark.skipif(not has_int8_products(), reason="this processor's 8-bit products overflow")
def test_a_row_does_not_depend_on_those_it_is_run_with() -> None:
    x, (codes, scale) = torch.randn(40, 64), quantise_rows(torch.randn(32, 64))
    x[3] *= 1e4
    together = int8_linear(x, codes, scale)
    for number in (0, 3, 39):
        assert torch.equal(int8_linear(x[number : number + 1], codes, scale)[0], together[number])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("t", "width", "out"), [(1, 32, 16), (3, 96, 80), (4, 576, 64), (16, 64, 48)])
@pytest.mark.parametrize("biased", [False, True])
def test_products_of_4_bit_weights_are_those_of_their_numbers(
    dtype: torch.dtype, t: int, width: int, out: int, biased: bool
) -> None:
    codes = torch.randint(0, 16, (out, width), dtype=torch.uint8)
    step, zero = (part.to(dtype) for part in (torch.rand(out, width // 32) / 50, torch.randn(out, width // 32) / 50))
    x, bias = torch.randn(t, width).to(dtype), torch.randn(out).to(dtype) if biased else None
    found = int4_linear(x, *pack_int4(codes, step, zero), bias)
    wanted = reference.int4_linear(x, codes, step, zero) + (0 if bias is None else bias.double())
    assert found.dtype == dtype
    assert relative_error(found, wanted) < (1e-5 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("t", "out", "width"), [(1, 16, 32), (3, 48, 224), (4, 208, 896), (17, 96, 64), (2, 1040, 4864)])
def test_products_of_8_bit_weights_in_groups_are_those_of_their_numbers(
    t: int, out: int, width: int, dtype: torch.dtype, biased: bool
) -> None:
    codes = torch.randint(0, 256, (out, width), dtype=torch.uint8)
    step, zero = (part.to(dtype) for part in (torch.rand(out, width // 16) / 800, torch.randn(out, width // 16) / 50))
    x, bias = torch.randn(t, width).to(dtype), torch.randn(out).to(dtype) if biased else None
    found = nibble_linear(x, *pack_nibbles(codes, step, zero), bias)
    wanted = reference.int8_group_linear(x, codes, step, zero) + (0 if bias is None else bias.double())
    assert found.dtype == dtype
    assert relative_error(found, wanted) < (1e-5 if dtype == torch.float32 else 1e-2)


def test_8_bit_weights_packed_in_parts_lie_as_those_packed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.randint(0, 256, (400, 64), dtype=torch.uint8)
    step, zero = torch.rand(400, 4), torch.randn(400, 4)
    at_once = pack_nibbles(codes, step, zero)
    monkeypatch.setattr(quantised, "PACKED_AT_ONCE", 1)
    assert all(map(torch.equal, pack_nibbles(codes, step, zero), at_once))
