"""What a question is answered with the second time: its answer where that was selected, else a refusal."""

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.harness.reader_training.corpus import ANSWER, ASK, BOS, EOS, Sequence, Turn
from tests.harness.reader_training.train import drawn_questions, holds, second_readings

REFUSAL = np.array([99, EOS])
DOCUMENT = list(range(100, 140))
QUESTION, REPLY = [ASK, 50, 51, ANSWER], [120, 121, EOS]
IDS = torch.tensor([[BOS, *DOCUMENT, *QUESTION, *REPLY]])
ASKED = 1 + len(DOCUMENT)


def read(selected: list[int], kind: str = "fact") -> list[Sequence]:
    turn = Turn(ASKED, ASKED + 4, ASKED + 7, (21, 23) if kind == "fact" else None, kind)
    known, absent = drawn_questions([Sequence(IDS[0].numpy(), np.ones(IDS.shape[1], dtype=np.float32), (turn,))])
    voter: Any = SimpleNamespace(selected=lambda *args: torch.tensor([selected]))
    document = torch.zeros(1, IDS.shape[1] - 1, dtype=torch.bool)
    document[0, 1:ASKED] = True
    return second_readings(
        voter, torch.zeros(1, 1, 1), document, IDS, known + absent, Namespace(k=(64,), refusal=REFUSAL, refused=1.0)
    )


def test_the_answer_is_wanted_where_it_was_selected_with_what_stands_before_it() -> None:
    (item,) = read(DOCUMENT[8:25])
    assert item.ids[-7:].tolist() == [*QUESTION, *REPLY]
    assert item.ids[4 : 4 + 17].tolist() == DOCUMENT[8:25]


def test_a_refusal_is_wanted_where_the_answer_was_not_selected() -> None:
    (item,) = read(DOCUMENT[25:39])
    assert item.ids[-6:].tolist() == [*QUESTION, *REFUSAL]
    assert item.weights[-2:].tolist() == [1.0, 1.0]


def test_nothing_is_learnt_where_the_answer_was_selected_without_its_statement() -> None:
    assert read(DOCUMENT[18:30]) == []


def test_a_refusal_is_wanted_where_there_is_no_answer() -> None:
    (item,) = read(DOCUMENT[8:25], kind="absent")
    assert item.ids[-2:].tolist() == REFUSAL.tolist()


@pytest.mark.parametrize(("part", "wanted"), [([3, 4], True), ([4, 3], False), ([1, 3], False), ([1, 2, 3, 4, 5], False)])
def test_a_part_is_held_only_in_one_piece(part: list[int], wanted: bool) -> None:
    assert holds(np.array([1, 2, 3, 4]), np.array(part)) is wanted
