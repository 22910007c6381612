"""Sums of what an answer's tokens gain from the passages, by hand."""

from __future__ import annotations

import pytest

from tscli.answer.grounding import PATIENCE, Grounding


def judged(gains: list[float]) -> Grounding:
    grounding = Grounding()
    for gain in gains:
        grounding.take(-1.0, -1.0 - gain)
    return grounding


@pytest.mark.parametrize(
    ("gains", "grounded"),
    [
        ([0.1, -0.3, 2.1], True),  # one token that is read in a passage
        ([0.2, 0.0, 0.7, 1.2, 1.7], True),  # a year, digit by digit
        ([0.4, 0.3, 0.4, -0.2, 0.4, 0.3, 0.1, 0.4, 0.2, 0.4] * 3, False),  # a little here and there
        ([9.0, -9.0, -9.0], True),  # what was said stays said
        ([-9.0, 2.1], True),  # and a loss before it is forgotten
        ([1.2, -0.1, -0.6, 0.3], False),
        ([], False),
    ],
)
def test_what_a_stretch_of_an_answer_gains_is_what_counts(gains: list[float], grounded: bool) -> None:
    assert judged(gains).is_open is not grounded


def test_an_answer_is_waited_for_only_so_long() -> None:
    assert not judged([0.0] * (PATIENCE - 1)).is_hopeless
    assert judged([0.0] * PATIENCE).is_hopeless
    assert not judged([5.0, *[0.0] * PATIENCE]).is_hopeless


def test_each_sentence_is_asked_anew_and_waited_for_as_long() -> None:
    grounding = judged([5.0, 0.0, 0.0])
    grounding.take(-1.0, -1.0, begins=True)
    assert grounding.is_open
    for _ in range(PATIENCE - 2):
        grounding.take(-1.0, -1.0)
    assert not grounding.is_hopeless
    grounding.take(-1.0, -1.0)
    assert grounding.is_hopeless


def test_sentences_that_say_nothing_are_borne_with_where_a_later_one_says_something() -> None:
    grounding = judged([5.0])
    for begins in (True, False, True, False):
        grounding.take(-1.0, -1.9, begins=begins)  # .65 each beyond the allowance: it goes on through sentences that are open
    assert not grounding.is_open
