"""Votes of single heads, windows of them, and the ranking that they make together."""

from __future__ import annotations

import pytest
import torch

from tscli.selection.retrieval_heads import FUSION, VERSION, RetrievalHeads, fused, head_votes, ranked, window_votes


@pytest.mark.parametrize("n", [1, 63, 64, 65, 203])
def test_a_heads_votes_are_the_sum_of_each_tokens_softmax(n: int) -> None:
    scores = 20 * torch.randn(5, n)
    wanted = torch.softmax(scores.double(), dim=-1).sum(dim=0)
    assert torch.allclose(head_votes(scores).double(), wanted, rtol=1e-5, atol=1e-7)


def test_tokens_that_must_not_be_seen_get_no_vote() -> None:
    scores = torch.zeros(2, 4)
    scores[:, 1] = float("-inf")
    assert head_votes(scores)[1] == 0


@pytest.mark.parametrize(("n", "width"), [(1, 64), (64, 64), (65, 64), (130, 32)])
def test_windows_hold_all_votes(n: int, width: int) -> None:
    votes = torch.rand(3, n)
    windows = window_votes(votes, width)
    assert windows.shape == (3, -(-n // width))
    assert torch.allclose(windows.sum(dim=1), votes.sum(dim=1))
    assert torch.allclose(windows[:, 0], votes[:, :width].sum(dim=1))


def test_rankings_are_fused_by_reciprocal_rank() -> None:
    windows = torch.tensor([[3.0, 1.0, 2.0], [0.1, 0.3, 0.2]])
    wanted = [1 / FUSION + 1 / (FUSION + 2), 1 / (FUSION + 2) + 1 / FUSION, 2 / (FUSION + 1)]
    assert fused(windows).tolist() == pytest.approx(wanted)


def test_one_heads_certainty_does_not_outweigh_the_others() -> None:
    windows = torch.tensor([[900.0, 2.0, 1.0], [1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    assert int(fused(windows).argmax()) == 1


def test_the_most_skilled_head_has_a_ranking_of_its_own() -> None:
    windows = torch.tensor([[1.0, 2.0, 3.0, 9.0], [9.0, 8.0, 7.0, 1.0], [9.0, 8.0, 7.0, 1.0], [9.0, 8.0, 7.0, 1.0]])
    order = ranked(windows)
    assert order[:2] == [0, 3]
    assert sorted(order) == [0, 1, 2, 3]


def test_windows_with_equal_votes_keep_their_order() -> None:
    assert ranked(torch.zeros(2, 5)) == [0, 1, 2, 3, 4]


def test_retrieval_heads_are_what_their_record_says() -> None:
    retrieval_heads = RetrievalHeads(((3, 1), (0, 2), (3, 0)), (0.9, 0.8, 0.7), 2, True, 0.5)
    assert RetrievalHeads.of_record(retrieval_heads.record()) == retrieval_heads
    assert retrieval_heads.last_layer == 3
    assert retrieval_heads.of_layer(3) == [(0, 1), (2, 0)]
    assert RetrievalHeads.of_record({**retrieval_heads.record(), "version": VERSION + 1}) is None
