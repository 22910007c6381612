"""Votes on int8 keys by the compiled loops against the float64 reference, on fresh random inputs, odd sizes and ties."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.kernels.test_kernels_against_reference import relative_error
from tscli_kernels import PAGE_SCALE, KeyTable, reference, vote_on_keys
from tscli_kernels.compiled import has_byte_products

HIGHEST = 127 * 256 + 127  # two signed bytes

pytestmark = pytest.mark.skipif(not has_byte_products(), reason="this processor has no sums of products of bytes (VNNI)")


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli_kernels.compiled.FROM_TOKENS", 0)


def keys_of(n: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """int8 [n, head_dim] and their scales, bfloat16 [n]."""
    return torch.randint(-128, 128, (n, head_dim), dtype=torch.int8), (torch.rand(n) / 64).to(PAGE_SCALE)


def queries_of(*shape: int) -> Tensor:
    """Of 16 bits, so that rounding them to as many changes nothing."""
    codes = torch.randint(-HIGHEST, HIGHEST + 1, shape)
    codes[..., 0] = HIGHEST
    return codes * 2.0**-14


def votes_of(query: Tensor, parts: list[Tensor], scales: Tensor) -> Tensor:
    table = KeyTable.of_parts(parts, scales)
    assert table is not None
    heads = query.shape[0]
    out = torch.full((2 * heads + 1, scales.shape[0]), math.nan)
    vote_on_keys(query, table, out, list(range(1, 2 * heads, 2)))
    assert out[::2].isnan().all(), "a row that is no head's was written to"
    return out[1::2]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 63, 512, 513, 3001])
@pytest.mark.parametrize("head_dim", [4, 20, 64, 72, 128])
@pytest.mark.parametrize("heads", [1, 3, 4, 7])
def test_votes_equal_the_reference(n: int, head_dim: int, heads: int) -> None:
    (keys, scales), query = keys_of(n, head_dim), queries_of(heads, 3, head_dim)
    expected = reference.vote_on_keys(query.double(), keys, scales)
    assert relative_error(votes_of(query, [keys], scales), expected) < 1e-5


def test_rounding_queries_to_16_bits_changes_votes_by_less_than_a_thousandth() -> None:
    (keys, scales), query = keys_of(3001, 64), torch.randn(3, 5, 64)
    assert relative_error(votes_of(query, [keys], scales), reference.vote_on_keys(query.double(), keys, scales)) < 1e-3


@pytest.mark.parametrize("t", [1, 2, 40])
def test_keys_may_lie_in_many_parts_of_any_length(t: int) -> None:
    keys, scales = keys_of(4999, 32)
    parts = list(keys.split([1, 700, 0, 15, 17, 3, 2000, 2263]))
    pages = torch.randint(-128, 128, (20, 3, 16, 32), dtype=torch.int8)
    more = (torch.rand(320) / 64).to(PAGE_SCALE)
    query, all_keys, all_scales = queries_of(2, t, 32), torch.cat([keys, pages[:, 1].flatten(0, 1)]), torch.cat([scales, more])
    expected = reference.vote_on_keys(query.double(), all_keys, all_scales)
    assert relative_error(votes_of(query, [*parts, pages[:, 1]], all_scales), expected) < 1e-5


@pytest.mark.parametrize("spread", [0.0, 1e-6, 30.0, 1e4])
def test_votes_of_queries_of_any_size_sum_up_to_these(spread: float) -> None:
    (keys, scales), query = keys_of(20_011, 64), torch.randn(2, 5, 64) * spread
    votes = votes_of(query, [keys], scales)
    assert votes.sum(dim=1).tolist() == pytest.approx([5, 5], rel=1e-4)
    if spread < 1:
        assert relative_error(votes, reference.vote_on_keys(query.double(), keys, scales)) < 1e-5


def test_equal_keys_get_equal_votes_wherever_they_stand() -> None:
    keys, scales = torch.ones(3000, 64, dtype=torch.int8), torch.ones(3000, dtype=PAGE_SCALE)
    votes = votes_of(torch.randn(1, 4, 64), [keys[:7], keys[7:1500], keys[1500:]], scales)
    torch.testing.assert_close(votes, torch.full_like(votes, 4 / 3000))
    assert votes.unique().numel() == 1


def test_what_gets_next_to_nothing_gets_nothing_and_the_rest_what_the_reference_gives() -> None:
    keys, scales = keys_of(8 * 512, 64)
    query = queries_of(1, 1, 64)
    far = query[0, 0].sign() * 127
    keys[5 * 512 : 6 * 512] = far.to(torch.int8)
    scales[5 * 512 : 6 * 512] = float(60 / (query[0, 0] @ far))
    scales[: 5 * 512] /= 8
    expected, votes = reference.vote_on_keys(query.double(), keys, scales), votes_of(query, [keys], scales)
    assert relative_error(votes, expected) < 1e-5
    assert votes[0, : 5 * 512].eq(0).all()
    assert expected[0, : 5 * 512].gt(0).all()
    assert float(expected[0, : 5 * 512].sum()) < 5 * 2.0**-24


def test_one_thread_gives_what_two_give() -> None:
    (keys, scales), query = keys_of(30_000, 64), torch.randn(3, 9, 64)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(votes_of(query, [keys], scales))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_there_is_no_table_of_what_the_loops_do_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, scales = keys_of(100, 64)
    assert KeyTable.of_parts([keys], scales) is not None
    assert KeyTable.of_parts([keys], scales.float()) is None
    assert KeyTable.of_parts([keys[:50], keys[50:].float()], scales) is None
    assert KeyTable.of_parts([keys[:, :62]], scales) is None
    assert KeyTable.of_parts([keys.T.contiguous().T], scales) is None
    monkeypatch.setattr("tscli_kernels.compiled.FROM_TOKENS", 101)
    assert KeyTable.of_parts([keys], scales) is None
    monkeypatch.setattr("tscli_kernels.compiled.FROM_TOKENS", 0)
    monkeypatch.setattr("tscli_kernels.key_votes.has_byte_products", lambda: False)
    assert KeyTable.of_parts([keys], scales) is None
