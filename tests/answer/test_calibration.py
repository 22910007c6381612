"""Retrieval heads are found by generated look-ups, once per model, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tscli
from tests.answer.voting_model import HEADS, save_voting_model
from tscli.answer.calibration.calibrate import calibrate, choose
from tscli.answer.calibration.lookups import FACTS, look_ups
from tscli.answer.calibration.store import choose_retrieval_heads
from tscli.library.kept_heads import load_retrieval_heads, save_retrieval_heads
from tscli.model.load import load_decoder
from tscli.paths import shipped_retrieval_heads_file
from tscli.tokens import load_template, load_tokenizer


@pytest.fixture
def load(small_model: Path, tmp_path: Path) -> tscli.LoadOptions:
    return save_voting_model(small_model, tmp_path / "voting")


def test_the_best_heads_are_chosen_by_where_they_rank_the_right_window() -> None:
    torch.manual_seed(5)
    right = [[number % 7] for number in range(12)]
    windows = [torch.rand(6, 7) for _ in right]
    for votes, own in zip(windows, right, strict=True):
        votes[4, own] = 2.0
        votes[2, own] = 2.0 if own[0] % 2 else 0.0
    heads, skill = choose(windows, right, group=1, most_keys=6)
    assert heads[0] == 4
    assert skill[0] == 1.0
    assert all(one >= 0.7 for one in skill)


def test_heads_beyond_the_keys_that_may_be_read_are_left_out() -> None:
    """Those that share the keys of a better one come along."""
    skill = {
        0: 1.0,
        3: 0.96,
        1: 0.92,
        4: 0.88,
        6: 0.84,
    }  # the share of questions in which it ranks the right one of two windows first
    windows, right = [torch.zeros(8, 2) for _ in range(100)], [[1]] * 100
    for head in range(8):
        for number, votes in enumerate(windows):
            votes[head, int(number < 100 * skill.get(head, 0.0))] = 1.0
    assert choose(windows, right, group=3, most_keys=8)[0] == [0, 3, 1, 4, 6]
    assert choose(windows, right, group=3, most_keys=2)[0] == [0, 3, 1, 4]
    assert choose(windows, right, group=3, most_keys=1)[0] == [0, 1]


def test_look_ups_follow_from_their_seed_and_no_answer_stands_twice() -> None:
    one = look_ups(1)
    assert one == look_ups(1)
    assert one != look_ups(2)
    assert len(one) == len(FACTS) == len({look_up.answer for look_up in one})
    assert all(look_up.answer in look_up.statement for look_up in one)
    assert not any(look_up.answer in look_up.literal + look_up.reworded for look_up in one)


def test_the_heads_of_known_models_are_shipped_and_a_calibration_of_ones_own_is_preferred() -> None:
    shipped = sorted(shipped_retrieval_heads_file("").parent.glob("*.json"))
    assert shipped
    for file in shipped:
        assert load_retrieval_heads(file.stem) is not None, (
            f"{file.name} was made by another version: calibrate that model again"
        )
        save_retrieval_heads(file.stem, HEADS)
        assert load_retrieval_heads(file.stem) == HEADS


def test_calibration_is_made_once_kept_and_repeatable(small_model: Path, load: tscli.LoadOptions) -> None:
    decoder = load_decoder(load)
    tokenizer = load_tokenizer(str(decoder.folder))
    template = load_template(tokenizer)
    said = list[str]()
    made = calibrate(decoder, tokenizer, template, lambda what, *_: said.append(what))
    assert made == calibrate(decoder, tokenizer, template)
    assert {*said} == {"reading prose with look-ups in it", "asking every head", "asking with passages"}
    save_retrieval_heads(decoder.hash, made)
    assert load_retrieval_heads(decoder.hash) == made == choose_retrieval_heads(None, decoder, tokenizer, template)
    assert choose_retrieval_heads("all", decoder, tokenizer, template) is None
