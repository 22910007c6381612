"""What passages change counts for more; what they make implausible is left out."""

from __future__ import annotations

import math

import pytest
import torch

from tscli.answer.contrast import CONTRAST, contrasted, restates


@pytest.mark.parametrize("contrast", [0.2, 0.5, 2.0])
@pytest.mark.parametrize("vocab", [3, 17, 1000])
def test_it_is_the_formula_in_float64(vocab: int, contrast: float) -> None:
    behind, without = torch.randn(vocab) * 4, torch.randn(vocab) * 4
    read, known = (torch.log_softmax(part.double(), dim=-1) for part in (behind, without))
    wanted = (1 + contrast) * read - contrast * known
    wanted[read.exp() < 0.1 * read.exp().max()] = -math.inf
    got = contrasted(behind, without, contrast).double()
    assert torch.equal(got.isinf(), wanted.isinf())
    assert torch.allclose(got[got.isfinite()], wanted[wanted.isfinite()], rtol=1e-5, atol=1e-5)


def test_alike_logits_choose_as_they_would_alone() -> None:
    logits = torch.randn(50)
    assert int(contrasted(logits, logits, CONTRAST).argmax()) == int(logits.argmax())


def test_a_token_that_is_likely_anyway_gives_way_to_one_that_the_passages_bring() -> None:
    behind, without = torch.tensor([0.1, 0.0, -9.0]), torch.tensor([2.0, -2.0, -2.0])
    scores = contrasted(behind, without, CONTRAST)
    assert int(behind.argmax()) == 0
    assert int(scores.argmax()) == 1
    assert scores[2] == -math.inf  # gains most of all, and is out of the question


def test_without_contrast_it_is_what_the_passages_say() -> None:
    behind, without = torch.randn(50), torch.randn(50)
    assert torch.equal(contrasted(behind, without, 0.0), behind.log_softmax(dim=-1))


@pytest.mark.parametrize(
    ("said", "token", "is_so"),
    [
        ([7, 2], 3, True),
        ([2], 3, True),
        ([3], 5, False),
        ([5], 1, False),
        ([2, 9], 3, False),
        ([], 1, False),
        ([9], 9, False),
        ([2, 3, 2], 3, False),
        ([2, 3, 2], 5, True),
    ],
)
def test_an_answer_restates_the_question_where_it_goes_on_as_that_does(said: list[int], token: int, is_so: bool) -> None:
    assert restates([1, 2, 3, 2, 5], said, token) == is_so
