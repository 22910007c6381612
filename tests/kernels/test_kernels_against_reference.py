"""Every kernel against its plain float64 reference, on fresh random inputs, odd sizes, ties and infinities."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tscli_kernels import (
    attend,
    attend_causal,
    attend_each,
    hard_vote,
    max_pool,
    raw_vote,
    reference,
    row_index,
    score_pages,
    soft_vote,
    take_rows,
    top_k,
)

GROUPS = (1, 4, 7)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.5e-2, torch.float16: 2e-3}


def relative_error(out: torch.Tensor, expected: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(out.double() - expected.double()) / torch.linalg.vector_norm(expected.double()))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("page_size", [16, 64])
@pytest.mark.parametrize("num_tokens", [1, 63, 64, 65, 203, 1000])
def test_scores_of_pages_equal_the_reference_in_float64(group: int, page_size: int, num_tokens: int) -> None:
    kv_heads, head_dim = 3, 40
    pages = torch.randn(-(-num_tokens // page_size), kv_heads, page_size, head_dim)
    pages.view(-1)[-1] = math.nan if num_tokens % page_size else 0.0  # a slot behind the last token must not leak
    query = torch.randn(kv_heads * group, head_dim)
    out = torch.full((kv_heads * group, num_tokens), math.nan)
    assert score_pages(query, pages, num_tokens, out=out) is out
    assert relative_error(out, reference.score_pages(query.double(), pages.double(), num_tokens)) < 1e-5


def test_scores_of_bfloat16_pages_are_accumulated_in_float32() -> None:
    pages, query = torch.randn(40, 2, 64, 64).bfloat16(), torch.randn(8, 64)
    expected = reference.score_pages(query.double(), pages.double(), 2500)
    assert relative_error(score_pages(query, pages, 2500), expected) < 1e-5


def test_scores_span_several_tiles() -> None:
    pages, query = torch.randn(600, 2, 64, 64), torch.randn(2, 64)  # 600 pages are three tiles
    expected = reference.score_pages(query.double(), pages.double(), 600 * 64 - 5)
    assert relative_error(score_pages(query, pages, 600 * 64 - 5), expected) < 1e-5


def test_scores_refuse_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        score_pages(torch.randn(5, 8), torch.randn(2, 2, 16, 8), 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gathered_rows_are_the_rows_at_those_positions(dtype: torch.dtype) -> None:
    pages = torch.randn(5, 3, 16, 8).to(dtype)
    positions = torch.tensor([0, 1, 15, 16, 33, 79])
    rows = take_rows(pages, row_index(positions, *pages.shape[1:3]))
    for column, position in enumerate(positions.tolist()):
        assert torch.equal(rows[:, column], pages[position // 16, :, position % 16])


@pytest.mark.parametrize("q_heads", [1, 4, 28])
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_soft_vote_equals_the_reference(q_heads: int, n: int) -> None:
    scores = torch.randn(q_heads, n) * 30
    assert relative_error(soft_vote(scores), reference.soft_vote(scores.double())) < 1e-5


def test_soft_vote_gives_nothing_to_tokens_at_minus_infinity_and_stays_finite() -> None:
    scores = torch.randn(4, 50)
    scores[:, 10:20] = -math.inf
    scores[2] = -math.inf  # a head that may choose nothing votes for none
    vote = soft_vote(scores)
    assert torch.isfinite(vote).all()
    assert (vote[10:20] == 0).all()
    assert float(vote.sum()) == pytest.approx(3.0, rel=1e-5)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, -math.inf]), min_size=1, max_size=60), st.integers(0, 70))
def test_top_k_breaks_ties_by_the_lower_position(values: list[float], k: int) -> None:
    vote = torch.tensor(values)
    assert torch.equal(top_k(vote, k), reference.top_k(vote, k))


@pytest.mark.parametrize("n", [1, 63, 1000, 100_003])
def test_top_k_holds_the_same_multiset_as_torch(n: int) -> None:
    vote = torch.rand(n)
    chosen = top_k(vote, min(n, 257))
    assert torch.equal(vote[chosen].sort().values, torch.topk(vote, min(n, 257)).values.sort().values)
    assert (chosen[1:] > chosen[:-1]).all()


@pytest.mark.parametrize("kind", ["low contrast", "ties", "constant", "infinities", "denormal"])
def test_top_k_of_a_million_is_exact(kind: str) -> None:
    n = 1 << 20
    vote = {
        "low contrast": lambda: 1e-6 * (1 + 1e-6 * torch.rand(n)),  # a softmax over a million that tells hardly anything apart
        "ties": lambda: torch.randint(0, 3, (n,)) / 7,
        "constant": lambda: torch.full((n,), 1 / n),
        "infinities": lambda: torch.where(torch.rand(n) < 0.5, math.inf, -math.inf),
        "denormal": lambda: torch.rand(n) * 1e-42,
    }[kind]()
    order = vote.sort(descending=True, stable=True).indices
    for k in (1, 2048, 65_537):
        chosen = top_k(vote, k)
        assert torch.equal(chosen, order[:k].sort().values)
        assert torch.equal(vote[chosen].sort(descending=True).values, vote.topk(k).values)


def test_top_k_refuses_nan() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top_k(torch.tensor([0.0, math.nan]), 1)


def test_hard_vote_counts_heads_and_raw_vote_sums_scores() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0], [0.0, 5.0, 4.0]])
    assert hard_vote(scores, 2).tolist() == [1.0, 2.0, 1.0]
    assert raw_vote(scores).tolist() == [3.0, 7.0, 5.0]


def test_pooling_lifts_the_neighbours_of_a_vote_and_nothing_else() -> None:
    vote = torch.zeros(20)
    vote[10] = 1.0
    assert max_pool(vote, 5).nonzero().flatten().tolist() == [8, 9, 10, 11, 12]
    assert torch.equal(max_pool(vote, 0), vote)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("t", "s"), [(1, 1), (1, 203), (17, 63), (64, 130)])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_attention_equals_the_reference(group: int, dtype: torch.dtype, t: int, s: int, softcap: float | None) -> None:
    query = torch.randn(2 * group, t, 32).to(dtype)
    key, value = torch.randn(2, s, 32).to(dtype), torch.randn(2, s, 32).to(dtype)
    mask = None if t == 1 else torch.arange(s)[None] <= torch.arange(s - t, s)[:, None]
    out = attend(query, key, value, scaling=0.3, mask=mask, softcap=softcap)
    expected = reference.attend(query.double(), key.double(), value.double(), scaling=0.3, mask=mask, softcap=softcap)
    assert out.dtype == dtype
    assert relative_error(out, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("group", [1, 3, 4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("t", "s"), [(1, 63), (2, 2), (63, 63), (111, 112), (17, 203), (130, 1000)])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_causal_attention_equals_the_reference(group: int, dtype: torch.dtype, t: int, s: int, softcap: float | None) -> None:
    query = torch.randn(3 * group, t, 40).to(dtype)
    key, value = torch.randn(3, s, 40).to(dtype), torch.randn(3, s, 40).to(dtype)
    mask = torch.ones(t, s, dtype=torch.bool).tril(s - t)
    out = attend_causal(query, key, value, scaling=0.3, softcap=softcap)
    expected = reference.attend(query.double(), key.double(), value.double(), scaling=0.3, mask=mask, softcap=softcap)
    assert out.dtype == dtype
    assert relative_error(out, expected) < TOLERANCE[dtype]


def test_causal_attention_weighs_rows_before_and_own_rows_by_one_softmax() -> None:
    query, key, value = torch.randn(2, 5, 8), torch.randn(2, 9, 8), torch.randn(2, 9, 8)
    key[:, 1] *= 60  # what stands before takes nearly all, or nearly nothing
    mask = torch.ones(5, 9, dtype=torch.bool).tril(4)
    expected = reference.attend(query.double(), key.double(), value.double(), scaling=1.0, mask=mask)
    assert relative_error(attend_causal(query, key, value, scaling=1.0), expected) < 1e-5


@pytest.mark.parametrize("group", [1, 3, 4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("t", "s"), [(1, 63), (17, 111)])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_each_sequence_attends_as_the_reference_does(
    group: int, dtype: torch.dtype, t: int, s: int, softcap: float | None
) -> None:
    query = torch.randn(4, 2 * group, t, 40).to(dtype)
    key, value = torch.randn(4, 2, s, 40).to(dtype), torch.randn(4, 2, s, 40).to(dtype)
    mask = torch.rand(4, t, s) < 0.5
    mask[..., -1] = True  # a query sees itself at least
    out = attend_each(query, key, value, mask=mask, scaling=0.3, softcap=softcap)
    for number, got in enumerate(out):
        own = (part[number].double() for part in (query, key, value))
        expected = reference.attend(*own, scaling=0.3, mask=mask[number], softcap=softcap)
        assert got.dtype == dtype
        assert relative_error(got, expected) < TOLERANCE[dtype]
