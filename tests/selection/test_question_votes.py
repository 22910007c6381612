from __future__ import annotations

import pytest
import torch

from tscli.selection.config import SelectionConfig
from tscli.selection.question_votes import QuestionVotes, nearby
from tscli.selection.select import Selection

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


def test_where_no_token_of_the_documents_can_be_selected_none_is() -> None:
    votes = QuestionVotes(layer=0)
    votes.add(torch.tensor([0.1, 0.9]))  # on the question's own tokens
    for num_cached in (0, 3, 5):
        assert votes.selection(SelectionConfig(k=2, n_init=1, n_local=4, pool=3), num_cached) is None


WIDE = SelectionConfig(k=5, n_init=1, n_local=4, pool=5)


def chosen(positions: list[int], local_start: int = 60) -> Selection:
    return Selection(torch.tensor(positions), torch.zeros(len(positions)), local_start)


def test_what_stands_around_a_selection_ends_where_the_candidates_do() -> None:
    assert nearby(chosen([2, 4, 40, 59]), WIDE).tolist() == [*range(1, 10), *range(35, 46), *range(54, 60)]


def test_the_selection_moves_along_with_the_answers_votes() -> None:
    votes = QuestionVotes(layer=0)
    votes.add(torch.zeros(59).index_fill_(0, torch.tensor([19]), 1.0))
    fixed = votes.selection(WIDE, num_cached=64)
    assert fixed is not None
    assert fixed.positions.tolist() == [18, 19, 20, 21, 22]
    for place in (22, 24, 26):  # what the answer copies, surer and surer
        around = nearby(fixed, WIDE)
        votes.add((around == place) * float(place), around - WIDE.n_init)
        fixed = votes.follow(fixed, WIDE)
    assert fixed.positions.tolist() == [24, 25, 26, 27, 28]


def test_following_without_a_new_vote_changes_nothing() -> None:
    votes = QuestionVotes(layer=0)
    votes.add(torch.rand(59, generator=torch.Generator().manual_seed(3)))
    fixed = votes.selection(WIDE, num_cached=64)
    assert fixed is not None
    followed = votes.follow(fixed, WIDE)
    assert torch.equal(followed.positions, fixed.positions)
    torch.testing.assert_close(followed.votes, fixed.votes)
    assert QuestionVotes(layer=0).follow(fixed, WIDE) is fixed


def test_everything_in_reach_is_chosen_from_as_by_the_whole_sum() -> None:
    votes, config = QuestionVotes(layer=0), SelectionConfig(k=5, n_init=1, n_local=4, pool=9)
    draw = torch.Generator().manual_seed(4)
    votes.add(torch.rand(16, generator=draw))
    fixed = votes.selection(config, num_cached=21)
    assert fixed is not None
    around = nearby(fixed, config)
    assert around.tolist() == list(range(1, 17))
    votes.add(torch.rand(16, generator=draw), around - 1)
    whole = votes.selection(config, num_cached=21)
    assert whole is not None
    assert torch.equal(votes.follow(fixed, config).positions, whole.positions)


@pytest.mark.parametrize("pool", [0, 1, 5, 33])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_nearby_lies_within_a_windows_width_and_stands_once(pool: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    config, stop = SelectionConfig(k=40, n_init=4, n_local=16, pool=pool), 1000
    positions = (torch.randperm(stop - 4, generator=draw)[:40] + 4).sort().values
    found = nearby(Selection(positions, torch.ones(40), stop), config)
    wanted = sorted({p + o for p in positions.tolist() for o in range(-pool, pool + 1) if 4 <= p + o < stop})
    assert found.tolist() == wanted
    assert found.dtype == torch.int64
