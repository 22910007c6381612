from __future__ import annotations

import torch

from tscli.selection.config import SelectionConfig
from tscli.selection.question_votes import QuestionVotes

CONFIG = SelectionConfig(k=2, n_init=1, n_local=4)


def test_the_sum_of_the_votes_decides() -> None:
    votes = QuestionVotes(layer=3)
    votes.add(torch.tensor([0.0, 0.6, 0.0, 0.5, 0.0]))
    votes.add(torch.tensor([0.4, 0.0, 0.0, 0.5, 0.0, 0.1]))  # a later token sees one candidate more
    selection = votes.selection(CONFIG, num_cached=11)
    assert selection is not None
    assert selection.positions.tolist() == [2, 4]  # candidates begin behind n_init
    assert selection.votes.tolist() == [0.6000000238418579, 1.0]
    assert selection.local_start == 7


def test_tokens_of_the_question_itself_cannot_be_chosen() -> None:
    votes = QuestionVotes(layer=0)
    votes.add(torch.tensor([0.1, 0.1, 0.1, 5.0]))
    selection = votes.selection(CONFIG, num_cached=8)  # candidates end at position 4
    assert selection is not None
    assert selection.positions.tolist() == [1, 2]


def test_without_votes_there_is_nothing_to_read_beside() -> None:
    assert QuestionVotes(layer=0).selection(CONFIG, num_cached=100) is None
