"""Selection against a brute force written from the paper in float64, one head and one token at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tscli.selection.config import SelectionConfig
from tscli.selection.select import select
from tscli_kernels import score_pages


def brute_force(query: torch.Tensor, keys: torch.Tensor, first: int, local_start: int, k: int) -> list[int]:
    """query [q_heads, d], keys [kv_heads, n, d]; the positions chosen by the soft vote."""
    q_heads, group = query.shape[0], query.shape[0] // keys.shape[0]
    votes = dict.fromkeys(range(first, local_start), 0.0)
    for head in range(q_heads):
        scores = {p: float(query[head].double() @ keys[head // group, p].double()) for p in votes}
        highest = max(scores.values())
        total = sum(math.exp(score - highest) for score in scores.values())
        for position, score in scores.items():
            votes[position] += math.exp(score - highest) / total
    return sorted(sorted(votes, key=lambda position: (-votes[position], position))[:k])


@pytest.mark.parametrize("group", [1, 4, 7])
@pytest.mark.parametrize("n", [70, 129, 200])
def test_selection_equals_the_brute_force_for_every_grouping(group: int, n: int) -> None:
    keys = torch.randn(2, n, 16)
    query = torch.randn(2 * group, 16)
    padded = torch.zeros(2, -(-n // 64) * 64, 16)
    padded[:, :n] = keys
    pages = padded.view(2, -1, 64, 16).transpose(0, 1)  # [pages, kv_heads, 64, d]
    scores = score_pages(query, pages, n - 20)[:, 4:]
    chosen = select(scores, 4, n - 20, SelectionConfig(k=11))
    assert chosen.positions.tolist() == brute_force(query, keys, 4, n - 20, 11)
    assert chosen.local_start == n - 20


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.sampled_from(["soft", "hard", "raw"]), st.sampled_from([0, 3, 9]))
def test_a_selection_is_ascending_distinct_and_of_the_asked_size(n: int, k: int, metric: str, pool: int) -> None:
    config = SelectionConfig(k=k, metric=metric, pool=pool)  # type: ignore[arg-type]
    chosen = select(torch.randn(4, n), 3, 3 + n, config).positions.tolist()
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(k, n)
    assert all(3 <= position < 3 + n for position in chosen)


def test_equal_votes_go_to_the_lower_position() -> None:
    assert select(torch.zeros(2, 10), 5, 15, SelectionConfig(k=3)).positions.tolist() == [5, 6, 7]


def test_tokens_at_minus_infinity_are_taken_last() -> None:
    scores = torch.full((2, 6), -math.inf)
    scores[:, 4:] = 1.0
    assert select(scores, 0, 6, SelectionConfig(k=2)).positions.tolist() == [4, 5]
