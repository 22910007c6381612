"""The next token by several passages, each read by itself: against the plain formulas in float64."""

from __future__ import annotations

import math

import pytest
import torch

from tscli.answer.mixture import LEAST_WEIGHT, SHARPNESS, influential, mixed, said_by, weights_of
from tscli.answer.passages import Fit, Passage


@pytest.mark.parametrize("passages", [1, 2, 5])
@pytest.mark.parametrize("vocab", [3, 17, 1000])
def test_it_is_the_weighted_mean_of_the_probabilities(passages: int, vocab: int) -> None:
    behind, gains = torch.randn(passages, vocab) * 6, torch.randn(passages).tolist()
    weights = torch.softmax(SHARPNESS * torch.tensor(gains).double(), dim=0)
    wanted = (weights[:, None] * torch.softmax(behind.double(), dim=-1)).sum(dim=0)
    got = mixed(behind.log_softmax(-1), weights_of(gains)).double().exp()
    assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-9)
    assert float(got.sum()) == pytest.approx(1)


@pytest.mark.parametrize("passages", [1, 2, 5])
def test_a_token_is_shared_by_how_likely_each_passage_makes_it(passages: int) -> None:
    behind, gains = torch.randn(passages, 30) * 6, torch.randn(passages).tolist()
    likely = torch.softmax(SHARPNESS * torch.tensor(gains).double(), 0) * torch.softmax(behind.double(), -1)[:, 7]
    got = said_by(behind.log_softmax(-1), weights_of(gains), 7).double()
    assert torch.allclose(got, likely / likely.sum(), rtol=1e-4, atol=1e-7)


def test_a_sure_passage_outweighs_one_that_fits_the_question_better() -> None:
    read = torch.tensor([[0.0, 0.1, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]]).log_softmax(-1)
    weights = weights_of([0.6, 0.5])
    assert int(mixed(read, weights).argmax()) == 0
    assert int(said_by(read, weights, 0).argmax()) == 1
    assert int(mixed(read, weights_of([3.0, 0.5])).argmax()) == 1


def test_passages_with_next_to_no_weight_are_left_out_and_the_best_one_never_is() -> None:
    passage, gap = Passage(0, 9, 0, 0), math.log(1 / LEAST_WEIGHT) / SHARPNESS
    gains = [1.0, 1.0 - 0.9 * gap, 1.0 - 1.1 * gap, 1.0]
    fits = [Fit(passage, gain, 0.0) for gain in gains]
    assert influential(fits[:1]) == fits[:1]
    assert influential(fits[:3]) == [fits[0], fits[1]]
    assert influential([fits[2], fits[0]]) == [fits[0]]
    assert influential([Fit(passage, -5.0, 0.0)] * 4) == [Fit(passage, -5.0, 0.0)] * 4
    assert influential([]) == []
