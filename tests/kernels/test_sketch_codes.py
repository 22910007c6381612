"""How a sketch's coordinates are coded: against the plain reference, and what rounding costs."""

from __future__ import annotations

import math

import pytest
import torch

from tests.kernels.test_kernels_against_reference import GROUPS, relative_error
from tscli_kernels import decode_sketch, encode_sketch, reaching, reaching_codes, reference, scan_codes
from tscli_kernels.sketch_codes import MOST, STEP, ZERO, code_query, scan_plainly


@pytest.mark.parametrize("rank", [4, 8, 20])
def test_codes_are_the_references(rank: int) -> None:
    coordinates = 2 * torch.randn(3, rank, 37)
    coordinates[0, 0, :4] = torch.tensor([0.0, 9.0, -9.0, math.inf])
    key_codes = encode_sketch(coordinates)
    assert torch.equal(key_codes, reference.encode_sketch(coordinates.nan_to_num(posinf=99.0), STEP, ZERO, MOST))
    inside = coordinates.abs() < MOST * STEP
    assert float((decode_sketch(key_codes, rank) - coordinates)[inside].abs().max()) <= STEP / 2 + 1e-6


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_coordinates_behind_the_last_are_zero(rank: int) -> None:
    key_codes = encode_sketch(torch.randn(2, rank, 11))
    assert key_codes.shape == (2, -(-rank // 4), 11, 4)
    assert decode_sketch(key_codes, 4 * key_codes.shape[1])[:, rank:].abs().max() == 0


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("rank", [3, 16, 32])
def test_scores_are_nearly_those_of_the_coordinates(rank: int, group: int) -> None:
    query, coordinates = torch.randn(2, group, rank), torch.randn(2, rank, 1000)
    scores = scan_codes(query, encode_sketch(coordinates), 0, 1000)
    assert relative_error(scores, reference.scan_sketch(query.double(), coordinates.double(), 1000)) < 0.02


def test_a_query_keeps_its_size_and_nothing_stays_nothing() -> None:
    key_codes = encode_sketch(torch.randn(1, 8, 100))
    query = torch.stack([torch.randn(8), torch.zeros(8), 1e-30 * torch.ones(8), 1e30 * torch.ones(8)])[None]
    codes, scale = code_query(query)
    assert int(codes.abs().max()) == MOST
    scores = scan_codes(query, key_codes, 0, 100)
    assert bool(scores.isfinite().all())
    assert float(scores[1].abs().max()) == 0
    assert torch.equal(scores[3] > 0, scores[2] > 0)
    assert torch.equal(scan_plainly(codes, scale, key_codes), scores)


def test_no_score_reaches_nan_and_a_query_of_nan_reaches_nothing() -> None:
    query, key_codes = torch.randn(1, 2, 8), encode_sketch(torch.randn(1, 8, 50))
    assert reaching_codes(query, key_codes, 0, 50, torch.tensor([math.nan, math.inf])).shape == (0,)
    assert reaching_codes(query, key_codes, 3, 50, torch.tensor([-math.inf, math.inf])).tolist() == list(range(47))
    query[0, 0, 1] = math.nan
    assert reaching_codes(query, key_codes, 0, 50, torch.tensor([-math.inf, math.inf])).shape == (0,)
    assert reaching(torch.tensor([[1.0, 2.0]]), torch.tensor([2.0])).tolist() == [1]
