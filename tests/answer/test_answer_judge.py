"""Which clauses of an answer count: its tokens as pieces of text, each with what it gains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from tscli.answer.answer_judge import AnswerJudge
from tscli.tokens import Tokenizer

Said = Sequence[tuple[str, float]]
READ: Said = [(" the", 0.0), (" hut", 5.0)]


class Pieces:
    """Decodes numbers of pieces."""

    def __init__(self, said: Said) -> None:
        self.texts = [text for text, _ in said]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.texts[number] for number in ids)


def judged(said: Said, *, cut: bool = False, asked: Sequence[int] = ()) -> tuple[str, bool]:
    """What counts of an answer, and whether it was over before its end. asked: which of its pieces the question has, too."""
    judge = AnswerJudge(cast(Tokenizer, Pieces(said)), None, asked)
    for number, (_, gain) in enumerate(said):
        judge.take(number, -1.0, -1.0 - gain)
    was_over = judge.is_over
    judge.end(cut=cut)
    assert judge.grounded is not None
    return "".join(text for text, _ in said[: judge.grounded]), was_over


@pytest.mark.parametrize(
    ("after", "counts", "over"),
    [
        ([(",", 0.0), (" which", 0.0), (" is", 0.0), (" big", 0.0), (".", 0.0)], "", False),
        ([(",", 0.0), (" which", 0.0), (" is", 0.0), (",", 0.0), (" yes", 9.0)], "", True),
        ([(",", 0.0), (" on", 2.0), (" the", 0.0), (" hill", 9.0), (".", 0.0)], ", on the hill.", False),
        ([(" 1", 2.0), (",", 0.0), ("250", 0.0), (".", 0.0)], " 1,250.", False),
        ([(" 1", 2.0), (",", 0.0)], " 1,", False),
        ([(";", 0.0), (" it", 0.0), (" stands", 0.0)], "", False),
        ([(" is", 0.0), (" the", 0.0), (" one", 0.0), (".", 0.0)], " is the one.", False),
        ([(" is the one that we want.", 0.0), (" It", 0.0), (" is.", 0.0)], " is the one that we want.", False),
    ],
)
def test_a_clause_after_what_was_read_counts_where_it_is_read_too(after: Said, counts: str, over: bool) -> None:
    assert judged([*READ, *after]) == (" the hut" + counts, over)


def test_what_says_the_question_over_again_grounds_no_answer() -> None:
    circle: Said = [(" the", 0.0), (" judge", 9.0), (" is", 0.0), (" The", 0.0), (" Judge", 9.0), (".", 0.0)]
    assert judged(circle) == (" the judge is The Judge.", False)
    assert judged(circle, asked=[1]) == ("", False)  # in whatever case
    assert judged([*circle[:3], (" Ann", 5.0), (".", 0.0)], asked=[1]) == (" the judge is Ann.", False)
    assert judged([(" It", 0.0), (" is", 0.0), (" 18", 5.0)], asked=[2]) == (" It is 18", False)
    further: Said = [(" is", 0.0), (" red", 0.0), (".", 0.0), (" The", 0.0), (" judge", 9.0), (" too", 0.0), (".", 0.0)]
    assert judged([*READ, *further], asked=[6])[0] == " the hut is red. The judge too."


def test_a_comma_before_anything_is_read_begins_no_further_clause() -> None:
    assert judged([(" yes", 0.0), (",", 0.0), *READ, (" there", 0.0), (".", 0.0)]) == (" yes, the hut there.", False)


def test_of_an_answer_that_is_cut_counts_what_says_something() -> None:
    said = [*READ, (" is", 0.0), (" the", 0.0)]
    assert judged(said, cut=True) == (" the hut", False)
    assert judged([*said, (" high", 3.0), ("est", 0.0), (" of", 0.0)], cut=True) == (" the hut is the highest", False)
