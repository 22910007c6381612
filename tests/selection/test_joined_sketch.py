"""Sketches one behind the other: each span by its own projection, all on one scale."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.selection.test_sketch import HEAD_DIM, KV_HEADS, QUERIES, correlated, projection
from tscli.selection.joined_sketch import JoinedSketch, Span
from tscli.selection.sketch import Sketch

QUERY = QUERIES[:, 150]
KEYS = [correlated(count, KV_HEADS, seed) + 5 * seed for seed, count in ((3, 1024), (4, 640), (5, 2048))]  # other means


def exact(key: Tensor) -> Tensor:
    return torch.cat([QUERY[3 * head : 3 * head + 3] @ key[head].T for head in range(KV_HEADS)])


def sketch(key: Tensor, rank: int = HEAD_DIM) -> Sketch:
    found = Sketch.empty(projection(key, QUERIES[:, :100], rank))
    found.extend(key.view(KV_HEADS, -1, 64, HEAD_DIM).transpose(0, 1)[None], key.shape[1])
    return found


def none(layer: int, query: Tensor, stop: int) -> Tensor:
    raise AssertionError("there is a sketch")


def test_scores_of_all_spans_are_the_exact_ones_less_one_shift() -> None:
    first, second, third = KEYS
    spans = [
        Span(first.shape[1], 0, None, lambda layer, query, stop: exact(first)[:, :stop]),
        Span(500, 64, sketch(second), none),
        Span(third.shape[1], 0, sketch(third, HEAD_DIM), none),
    ]
    joined = JoinedSketch(spans)
    wanted = torch.cat([exact(first), exact(second[:, 64:564]), exact(third)], dim=1)
    assert joined.length == wanted.shape[1]
    for start, stop in ((0, joined.length), (7, 1400), (1030, 1500), (1524, 3000)):
        found = joined.sampled(0, QUERY, start, stop, 1)[0] + joined.shift(0, QUERY)[:, None]
        missed = found - wanted[:, start:stop]
        assert float(missed.mean(dim=1).abs().max()) < 0.02
        assert float(missed.std() / wanted[:, start:stop].std(dim=1).mean()) < 0.03  # bytes are rounded


def test_sketches_may_keep_different_numbers_of_coordinates() -> None:
    second, third = KEYS[1:]
    joined = JoinedSketch([Span(640, 0, sketch(second, 8), none), Span(2048, 0, sketch(third, 16), none)])
    wanted = torch.cat([exact(second), exact(third)], dim=1)
    found = joined.sampled(0, QUERY, 0, 2688, 1)[0] + joined.shift(0, QUERY)[:, None]
    assert float((found - wanted).var() / wanted.var()) < 0.05


def test_outliers_of_a_span_stand_where_it_stands() -> None:
    _, second, third = KEYS
    parts = [sketch(second, 8), sketch(third, 8)]
    joined = JoinedSketch([Span(1024, 0, None, none), Span(500, 64, parts[0], none), Span(2048, 0, parts[1], none)])
    places = [(parts[0].outliers, -64 + 1024, 64, 564), (parts[1].outliers, 1524, 0, 2048)]
    wanted = {int(p) + shift for found, shift, low, high in places for p in found.flatten() if low <= p < high}
    assert len(wanted) > 2
    assert set(joined.outlying(0, 0, joined.length).tolist()) == wanted
    assert {p + 1600 for p in joined.outlying(0, 1600, 3000).tolist()} == {p for p in wanted if 1600 <= p < 3000}
