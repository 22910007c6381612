"""Sums of what an answer's tokens gain from the passages, by hand."""

from __future__ import annotations

import pytest

from tscli.answer.grounding import MEAN, PATIENCE, SAYS, Begins, Grounding


def judged(gains: list[float]) -> Grounding:
    grounding = Grounding()
    for gain in gains:
        grounding.take(-1.0, -1.0 - gain)
    return grounding


def went_on(*clauses: list[float]) -> Grounding:
    """After an answer of two tokens that are read, these further clauses."""
    grounding = judged([5.0, 0.0])
    for gains in clauses:
        for place, gain in enumerate(gains):
            grounding.take(-1.0, -1.0 - gain, begins=Begins.WORD if place else Begins.CLAUSE)
    return grounding


@pytest.mark.parametrize(
    ("gains", "grounded"),
    [
        ([0.1, -0.3, 2.1], 3),  # one token that is read in a passage
        ([0.2, 0.0, 0.7, 1.2, 1.7], 5),  # a year, digit by digit
        ([0.4, 0.3, 0.4, -0.2, 0.4, 0.3, 0.1, 0.4, 0.2, 0.4] * 3, 0),  # a little here and there
        ([9.0, -9.0, -9.0], 1),  # what was said stays said, and what follows it waits
        ([9.0, 0.0, 0.0, SAYS, 0.0], 4),  # for another word that says something
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
    assert not judged([5.0, *[0.0] * (PATIENCE - 1)]).is_over
    assert judged([5.0, *[0.0] * PATIENCE]).is_over


def test_what_follows_in_a_clause_counts_when_that_has_ended() -> None:
    grounding = judged([5.0, 0.0, 0.0])
    assert grounding.grounded == 1
    grounding.end_clause()
    assert grounding.grounded == 3
    assert not grounding.is_over


def test_a_word_counts_as_a_whole() -> None:
    grounding = judged([5.0, 0.0, 0.0, SAYS])
    for begins in (Begins.NOTHING, Begins.NOTHING, Begins.WORD, Begins.NOTHING):
        grounding.take(-1.0, -1.0, begins=begins)
    assert grounding.grounded == 6


def test_a_clause_that_goes_in_circles_ends_where_it_last_said_something() -> None:
    first = judged([5.0, 0.0, SAYS, *[0.0] * PATIENCE])
    assert (first.grounded, first.is_over) == (3, True)
    further = went_on([99.0, 0.0, SAYS, *[0.0] * PATIENCE])
    assert (further.grounded, further.is_over) == (5, True)
    little = went_on([MEAN, 0.0, SAYS, *[0.0] * PATIENCE])
    assert (little.grounded, little.is_over) == (2, True)


def test_a_further_clause_counts_when_it_has_ended() -> None:
    grounding = went_on([2 * MEAN, 0.0, 2 * MEAN, 0.0])
    assert grounding.grounded == 2
    grounding.take(-1.0, -1.0, begins=Begins.CLAUSE)
    assert grounding.grounded == 6
    assert not grounding.is_over


def test_a_further_clause_that_gains_too_little_on_average_ends_the_answer_before_it() -> None:
    grounding = went_on([9 * MEAN, *[0.0] * 9], [9.0])
    assert grounding.grounded == 2
    assert grounding.is_over


@pytest.mark.parametrize(("gain", "grounded"), [(MEAN + 0.01, 5), (MEAN - 0.01, 2)])
def test_the_last_clause_is_judged_by_what_there_is_of_it(gain: float, grounded: int) -> None:
    grounding = went_on([gain] * 3)
    grounding.end_clause()
    assert grounding.grounded == grounded
    assert grounding.is_over == (grounded == 2)


def test_a_word_and_a_comma_are_no_clause() -> None:
    assert went_on([9 * MEAN], [0.0, 0.0, 0.0]).grounded == 2
    assert not went_on([9 * MEAN], [0.0, 0.0, 0.0]).is_over
    grounding = went_on([9 * MEAN], [0.0, 0.0, 0.0], [0.0])
    assert grounding.grounded == 6  # together they gain enough
    assert went_on([2 * MEAN], [0.0, 0.0, 0.0], [0.0]).is_over


def test_a_further_clause_is_waited_for_as_long_and_no_longer() -> None:
    assert not went_on([0.0] * (PATIENCE - 1)).is_over
    assert went_on([0.0] * PATIENCE).is_over
    assert not went_on([2 * MEAN, 0.0] * PATIENCE).is_over


def test_a_clause_that_begins_before_anything_is_said_is_no_further_one() -> None:
    grounding = Grounding()
    for begins in (Begins.WORD, Begins.CLAUSE, Begins.CLAUSE):
        grounding.take(-1.0, -1.9, begins=begins)  # .65 each beyond the allowance
    assert grounding.grounded == 3
