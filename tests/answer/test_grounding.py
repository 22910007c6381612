"""Sums of what an answer's tokens gain from the passages, by hand."""

from __future__ import annotations

import pytest

from tscli.answer.grounding import MEAN, PATIENCE, Grounding


def judged(gains: list[float]) -> Grounding:
    grounding = Grounding()
    for gain in gains:
        grounding.take(-1.0, -1.0 - gain)
    return grounding


def went_on(*sentences: list[float]) -> Grounding:
    """After an answer of two tokens that are read, these further sentences."""
    grounding = judged([5.0, 0.0])
    for gains in sentences:
        for place, gain in enumerate(gains):
            grounding.take(-1.0, -1.0 - gain, begins=place == 0)
    return grounding


@pytest.mark.parametrize(
    ("gains", "grounded"),
    [
        ([0.1, -0.3, 2.1], 3),  # one token that is read in a passage
        ([0.2, 0.0, 0.7, 1.2, 1.7], 5),  # a year, digit by digit
        ([0.4, 0.3, 0.4, -0.2, 0.4, 0.3, 0.1, 0.4, 0.2, 0.4] * 3, 0),  # a little here and there
        ([9.0, -9.0, -9.0], 3),  # what was said stays said
        ([-9.0, 2.1], 2),  # and a loss before it is forgotten
        ([1.2, -0.1, -0.6, 0.3], 0),
        ([], 0),
    ],
)
def test_what_a_stretch_of_an_answer_gains_is_what_counts(gains: list[float], grounded: int) -> None:
    assert judged(gains).grounded == grounded


def test_an_answer_is_waited_for_only_so_long() -> None:
    assert not judged([0.0] * (PATIENCE - 1)).is_over
    assert judged([0.0] * PATIENCE).is_over
    assert not judged([5.0, *[0.0] * PATIENCE]).is_over


def test_a_further_sentence_counts_when_it_has_ended() -> None:
    grounding = went_on([2 * MEAN, 0.0, 2 * MEAN, 0.0])
    assert grounding.grounded == 2
    grounding.take(-1.0, -1.0, begins=True)
    assert grounding.grounded == 6
    assert not grounding.is_over


def test_a_further_sentence_that_gains_too_little_on_average_ends_the_answer_before_it() -> None:
    grounding = went_on([9 * MEAN, *[0.0] * 9], [9.0])
    assert grounding.grounded == 2
    assert grounding.is_over


@pytest.mark.parametrize(("gain", "grounded"), [(MEAN + 0.01, 5), (MEAN - 0.01, 2)])
def test_the_last_sentence_is_judged_by_what_there_is_of_it(gain: float, grounded: int) -> None:
    grounding = went_on([gain] * 3)
    grounding.end_sentence()
    assert grounding.grounded == grounded
    assert grounding.is_over == (grounded == 2)


def test_a_further_sentence_is_waited_for_as_long_and_no_longer() -> None:
    assert not went_on([0.0] * (PATIENCE - 1)).is_over
    assert went_on([0.0] * PATIENCE).is_over
    assert not went_on([2 * MEAN, 0.0] * PATIENCE).is_over


def test_a_sentence_that_begins_before_anything_is_said_is_no_further_one() -> None:
    grounding = Grounding()
    for gain, begins in ((0.9, False), (0.9, True), (0.9, True)):  # .65 each beyond the allowance
        grounding.take(-1.0, -1.0 - gain, begins=begins)
    assert grounding.grounded == 3
