"""The sketch against exact scores: the same at full rank, nearly all votes at a quarter of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.kernels.test_kernels_against_reference import relative_error
from tscli.selection.candidates import (
    Scores,
    SketchCandidates,
    mass_recalled,
    num_candidates,
    search,
    select_among,
    uses_sketch,
)
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import EVERY, Guard
from tscli.selection.select import Selection, select
from tscli.selection.sketch import Moments, Projection, Sketch, ranks
from tscli_kernels import soft_vote, top_k

Q_HEADS, KV_HEADS, HEAD_DIM, NUM = 6, 2, 32, 4096


def correlated(count: int, heads: int, seed: int) -> Tensor:
    """Rows whose variance falls steeply over the directions, as that of real keys does, around a mean that is not zero."""
    draw = torch.Generator().manual_seed(seed)
    spread = torch.linalg.qr(torch.randn(heads, HEAD_DIM, HEAD_DIM, generator=draw)).Q * 0.8 ** torch.arange(HEAD_DIM)
    return torch.randn(heads, count, HEAD_DIM, generator=draw) @ spread.mT * 3 + torch.randn(heads, 1, HEAD_DIM, generator=draw)


def projection(key: Tensor, query: Tensor, rank: int) -> Projection:
    moments = Moments(1, KV_HEADS, HEAD_DIM)
    for part in key.split(1000, dim=1):
        moments.add_keys(0, part)
    moments.add_queries(0, query)
    return moments.projection(rank)


KEY = correlated(NUM, KV_HEADS, 1)
QUERIES = correlated(200, Q_HEADS, 2)


def exact_scores(query: Tensor) -> Tensor:
    return torch.cat([query[3 * head : 3 * head + 3] @ KEY[head].T for head in range(KV_HEADS)])


def among(scores: Tensor, count: int, outliers: tuple[int, ...] = (), shift: Tensor | None = None) -> SketchCandidates:
    """Candidates by approximate scores that are all given."""
    shift = torch.zeros(scores.shape[0]) if shift is None else shift
    scan = Scores(scores, shift, torch.tensor(outliers, dtype=torch.int64))
    return search(scan, 0, QUERIES[:, 0], 0, scores.shape[1], count)


def sketch(rank: int, dtype: torch.dtype = torch.float32) -> Sketch:
    found = projection(KEY, QUERIES[:, :100], rank)
    made = Sketch.empty(found)
    pages = KEY.view(KV_HEADS, -1, 64, HEAD_DIM).transpose(0, 1)[None].to(dtype)  # [1, pages, kv_heads, 64, head_dim]
    made.extend(pages[:, :40], 40 * 64)
    made.extend(pages[:, 40:], NUM - 40 * 64)
    return made


def test_all_coordinates_give_the_exact_scores_less_the_shift() -> None:
    full, query = sketch(HEAD_DIM), QUERIES[:, 150]
    turned, shift = full.projection.query(0, query), full.projection.shift(0, query)[:, None]
    found = torch.matmul(turned, full.projection.keys(0, KEY)).flatten(0, 1) + shift
    torch.testing.assert_close(found, exact_scores(query), rtol=1e-3, atol=1e-3)
    rounded = full.sampled(0, query, 0, NUM, 1)[0] + shift
    assert relative_error(rounded, exact_scores(query)) < 0.03


def test_coordinates_have_variance_one_as_their_codes_take_for_granted() -> None:
    coordinates = sketch(HEAD_DIM).projection.keys(0, KEY)
    torch.testing.assert_close(coordinates.var(dim=2), torch.ones(KV_HEADS, HEAD_DIM), rtol=0, atol=0.1)


def test_a_quarter_of_the_coordinates_carries_nearly_all_of_the_scores_variance() -> None:
    part = sketch(HEAD_DIM // 4)
    left = total = 0.0
    for number in range(100, 200):
        exact = exact_scores(QUERIES[:, number])
        total += float(exact.var(dim=1).sum())
        left += float((exact - part.sampled(0, QUERIES[:, number], 0, NUM, 1)[0]).var(dim=1).sum())
    assert left / total < 0.05
    assert ranks(HEAD_DIM) == (4, 8, 16)


def test_balancing_by_the_queries_beats_the_keys_own_principal_axes() -> None:
    unbalanced = Moments(1, KV_HEADS, HEAD_DIM)
    unbalanced.add_keys(0, KEY)
    unbalanced.query_outer[0] += torch.eye(HEAD_DIM, dtype=torch.float64)
    errors = []
    for found in (projection(KEY, QUERIES[:, :100], 4), unbalanced.projection(4)):
        made = Sketch.empty(found)
        made.extend(KEY.view(KV_HEADS, -1, 64, HEAD_DIM).transpose(0, 1)[None], NUM)
        missed = [exact_scores(q) - made.sampled(0, q, 0, NUM, 1)[0] for q in QUERIES[:, 100:].unbind(1)]
        errors.append(sum(float(part.var(dim=1).sum()) for part in missed))
    assert errors[0] < errors[1]


def test_candidates_hold_nearly_all_votes_of_fresh_queries() -> None:
    part, masses = sketch(HEAD_DIM // 4, torch.bfloat16), []
    for query in QUERIES[:, 150:].unbind(1):
        found = search(part, 0, query, 0, NUM, NUM // 8).positions
        votes = soft_vote(exact_scores(query))
        best = votes.topk(64).indices
        masses.append(float((votes[best] * torch.isin(best, found)).sum() / votes[best].sum()))
    assert sum(masses) / len(masses) > 0.97


def test_kinds_of_queries_count_alike_however_many_there_are_of_each() -> None:
    other = correlated(20, Q_HEADS, 3)
    found = []
    for times in (1, 50):
        moments = Moments(1, KV_HEADS, HEAD_DIM, kinds=2)
        moments.add_keys(0, KEY)
        for _ in range(times):
            moments.add_queries(0, QUERIES[:, :100])
        moments.add_queries(0, other, kind=1)
        found.append(moments.projection(4))
    torch.testing.assert_close(found[0].power, found[1].power)
    assert not torch.allclose(found[0].power, projection(KEY, QUERIES[:, :100], 4).power, rtol=0.01)


def test_a_mean_that_is_the_same_for_all_keys_changes_no_vote() -> None:
    part, query = sketch(HEAD_DIM // 4), QUERIES[:, 150]
    scores = part.sampled(0, query, 0, NUM, 1)[0]
    torch.testing.assert_close(soft_vote(scores + part.projection.shift(0, query)[:, None]), soft_vote(scores))


@pytest.mark.parametrize(("num", "count"), [(3200, 640), (3201, 640), (200_003, 4000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_heads_best_tokens_are_candidates(num: int, count: int, dtype: torch.dtype) -> None:
    scores = torch.randn(4, num, generator=torch.Generator().manual_seed(5)).to(dtype)
    found = among(scores, count).positions
    assert torch.equal(found, found.unique())
    for row in scores:
        assert bool(torch.isin(torch.nonzero(row > row.topk(count // 8).values[-1]).squeeze(1), found).all())
    assert len(found) < 2 * count


def test_a_key_unlike_all_others_is_a_candidate_whatever_the_sketch_gives_it() -> None:
    key = KEY.clone()
    odd = [(0, 700), (1, 3000)]
    moments = Moments(1, KV_HEADS, HEAD_DIM)
    moments.add_keys(0, key)
    moments.add_queries(0, QUERIES[:, :100])
    found = moments.projection(4)
    for head, position in odd:  # along what the last coordinate that the sketch leaves out asks for
        key[head, position] += 40 * found.query_map[0, head, 5]
    made = Sketch.empty(found)
    pages = key.view(KV_HEADS, -1, 64, HEAD_DIM).transpose(0, 1)[None]
    made.extend(pages[:, :20], 20 * 64)
    made.extend(pages[:, 20:], NUM - 20 * 64)
    assert made.outliers.shape == (1, KV_HEADS, 2 + 3)
    assert all(position in made.outliers[0, head] for head, position in odd)
    assert set(made.outlying(0, 701, NUM).tolist()) == {p - 701 for p in made.outliers[0].flatten().tolist() if p >= 701}
    scores = torch.full((2, 500), -5.0)
    scores[0, 7], scores[1, 9] = 1.0, 1.0
    assert among(scores, 2, (40, 3, 40)).positions.tolist() == [3, 7, 9, 40]


def test_equal_scores_are_candidates_all_of_them() -> None:
    assert among(torch.zeros(2, 500), 50).positions.tolist() == list(range(500))


def test_as_many_candidates_as_tokens_are_all_tokens() -> None:
    assert among(torch.randn(2, 50), 50).positions.tolist() == list(range(50))


def test_votes_of_candidates_are_the_exact_ones_where_the_rest_scores_low() -> None:
    scores = torch.randn(3, 2000, generator=torch.Generator().manual_seed(6))
    positions = torch.arange(100, 300)
    scores[:, positions] += 15
    shift = torch.tensor([1.0, -2.0, 0.5])
    found = among(scores - shift[:, None], 600, shift=shift)
    assert bool(torch.isin(positions, found.positions).all())
    votes = found.votes(scores[:, found.positions], shift)
    torch.testing.assert_close(votes, soft_vote(scores)[found.positions], rtol=1e-3, atol=1e-6)


def test_the_softmaxs_tail_is_estimated_from_a_sample() -> None:
    scores = torch.randn(3, 300_000, generator=torch.Generator().manual_seed(7))
    found = among(scores, 5000)
    votes = found.votes(scores[:, found.positions], torch.zeros(3))
    torch.testing.assert_close(votes, soft_vote(scores)[found.positions], rtol=0.05, atol=0)


def test_candidates_that_the_sketch_does_not_hold_yet_are_counted_once() -> None:
    scores = torch.randn(2, 3000, generator=torch.Generator().manual_seed(8))
    found = among(scores[:, :2500], 1250)
    positions = torch.cat([found.positions, torch.arange(2500, 3000)])
    votes = found.votes(scores[:, positions], torch.zeros(2))
    torch.testing.assert_close(votes, soft_vote(scores)[positions], rtol=0.1, atol=0)


@pytest.mark.parametrize("pool", [0, 1, 5, 33])
@pytest.mark.parametrize("seed", range(6))
def test_selecting_among_candidates_is_selecting_with_no_votes_elsewhere(pool: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    num, config = 1500, SelectionConfig(k=60, n_init=7, n_local=20, pool=pool)
    positions = torch.randperm(num, generator=draw)[:200].sort().values
    scores = torch.full((1, num), -torch.inf)
    scores[0, positions] = torch.randn(200, generator=draw) * 3
    wanted = select(scores, 7, num + 7, config)
    votes = soft_vote(scores)[positions]
    found = select_among(positions + 7, votes, 7, num + 7, config)
    assert found.positions.tolist() == wanted.positions.tolist()
    torch.testing.assert_close(found.votes, wanted.votes)


def test_fewer_candidates_than_k_are_selected_with_their_neighbours() -> None:
    config = SelectionConfig(k=10, n_init=0, n_local=0, pool=3)
    found = select_among(torch.tensor([5, 40]), torch.tensor([0.2, 0.7]), 0, 100, config)
    assert found.positions.tolist() == [4, 5, 6, 39, 40, 41]


def test_short_contexts_and_other_metrics_are_scanned_exactly() -> None:
    assert uses_sketch(SelectionConfig(), 1 << 20)
    assert not uses_sketch(SelectionConfig(), 1000)
    assert not uses_sketch(SelectionConfig(scan="exact"), 1 << 20)
    assert not uses_sketch(SelectionConfig(metric="raw"), 1 << 20)
    assert num_candidates(128, 1 << 20) == 16_384
    assert num_candidates(2048, 1 << 18) == 16_384


def test_the_guard_compares_the_first_selection_and_one_in_so_many() -> None:
    guard = Guard()
    assert [guard.due() for _ in range(EVERY + 1)] == [True] + (EVERY - 1) * [False] + [True]


def test_a_guard_may_compare_nothing_and_begin_with_more_candidates() -> None:
    guard = Guard(every=0, factor=4)
    assert not any(guard.due() for _ in range(2 * EVERY))
    assert guard.factor(1) == 4


def test_the_guard_widens_the_layer_that_recalls_too_little() -> None:
    guard, votes = Guard(), torch.tensor([0.5, 0.3, 0.2])
    exact = Selection(torch.tensor([1, 5, 9]), votes, 20)
    assert guard.compare(0, exact, exact)
    assert not guard.compare(1, Selection(torch.tensor([1, 5, 8]), votes, 20), exact)
    assert (guard.factor(0), guard.factor(1)) == (1, 4)
    assert guard.masses == pytest.approx([1.0, 0.8])
    assert guard.recalls == pytest.approx([1.0, 2 / 3])


def test_the_mass_recalled_is_whole_by_exact_scores_and_little_by_noise() -> None:
    scores = 3 * torch.randn(4, 8000, generator=torch.Generator().manual_seed(11))
    config = SelectionConfig(k=50, n_init=0, n_local=0, pool=3)

    def recalled(approximate: Tensor) -> float:
        scan = Scores(approximate, torch.zeros(4), torch.empty(0, dtype=torch.int64))
        return mass_recalled(scores, scan, 0, QUERIES[:, 0], config)

    assert recalled(scores) > 0.95  # the softmax's tail is estimated
    noise = 3 * torch.randn(4, 8000, generator=torch.Generator().manual_seed(12))
    assert recalled(noise) < 0.5


def test_small_heads_keep_no_more_coordinates_than_they_have() -> None:
    assert [ranks(head_dim) for head_dim in (2, 8, 16, 128)] == [(2,), (4,), (4, 8), (16, 32, 64)]


def test_fewer_coordinates_are_the_first_of_more() -> None:
    more, fewer = projection(KEY, QUERIES, 16), projection(KEY, QUERIES, 8)
    torch.testing.assert_close(more.first(8).keys(0, KEY), fewer.keys(0, KEY))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_keys_that_are_no_numbers_are_refused_as_the_exact_votes_refuse_them(value: float) -> None:
    damaged = KEY.clone()
    damaged[1, 1234, 5] = value
    exact = exact_scores(QUERIES[:, 0])
    exact[0, 1234] = float("nan")
    with pytest.raises(ValueError, match="NaN") as wanted:
        top_k(soft_vote(exact), 16)
    made = Sketch.empty(projection(KEY, QUERIES[:, :100], 8))
    for refused in (
        lambda: made.extend(damaged.unflatten(1, (-1, 64)).transpose(0, 1)[None], NUM),
        lambda: Moments(1, KV_HEADS, HEAD_DIM).add_keys(0, damaged),
    ):
        with pytest.raises(ValueError, match="NaN") as raised:
            refused()
        assert str(raised.value) == str(wanted.value)
    assert made.length == 0
