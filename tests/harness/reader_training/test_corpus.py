"""The corpus: sequences, their weights and answers; with a toy tokenizer and a few lines of prose."""

from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from tests.harness.reader_training import surroundings
from tests.harness.reader_training.corpus import (
    ANSWER,
    ANSWER_WEIGHT,
    ASK,
    BOS,
    EOS,
    Corpus,
    Pair,
    Sequence,
    Sources,
    batch,
    find_source,
    load_sources,
)
from tests.harness.reader_training.entities import Names
from tests.harness.reader_training.facts import unanswered
from tests.harness.reader_training.needles import REFUSAL
from tests.harness.reader_training.surroundings import Prose

FIRST = 4  # ids below are the special tokens
PROSE = Prose(("The old harbour was quiet that evening. Nobody spoke of the storm. A lamp burned on the pier.\n\n" * 200,))


class Encoded(NamedTuple):
    ids: list[int]
    offsets: list[tuple[int, int]]


def encode(text: str) -> Encoded:
    """Three characters a token, about as many as the reader's tokenizer has."""
    padded = text + "\0" * (-len(text) % 3)
    starts = range(0, len(padded), 3)
    ids = [sum(ord(c) << (16 * j) for j, c in enumerate(padded[i : i + 3])) + FIRST for i in starts]
    return Encoded(ids, [(i, min(i + 3, len(text))) for i in starts])


def decode(ids: np.ndarray) -> str:
    codes = [int(i) - FIRST for i in ids if i >= FIRST]
    return "".join(chr(code >> (16 * j) & 0xFFFF) for code in codes for j in range(3)).replace("\0", "")


def answers_of(item: Sequence) -> list[tuple[int, int]]:
    return [(turn.answered, turn.end) for turn in item.turns]


def corpus(seed: int = 3, held_out: bool = False, length: int = 512) -> Corpus:
    return Corpus(Sources(PROSE, (), ("carpet", "window", "engine")), encode, length, seed, held_out)


@pytest.mark.parametrize("held_out", [False, True])
def test_every_answer_stands_in_the_text_before_it(held_out: bool) -> None:
    source = corpus(held_out=held_out)
    answers = 0
    for item in (source.draw() for _ in range(60)):
        text = " ".join(decode(item.ids[: list(item.ids).index(ASK)] if ASK in item.ids else item.ids).split())
        for turn in item.turns:
            answer = decode(item.ids[turn.answered : turn.end]).strip()
            if turn.kind == "absent":
                assert answer == REFUSAL
                continue
            answers += 1
            assert answer in text or all(part in text for part in answer.split(", "))
    assert answers > 60


def test_a_question_without_an_answer_asks_for_what_no_fact_of_the_text_states() -> None:
    for seed in range(60):
        source = corpus(seed)
        _, facts = source.page(8, 1_500)
        assert source.absent(facts).answer == REFUSAL
        missing = unanswered(Names(Random(seed)), facts)
        assert not any(f.entity.lower() == missing.entity.lower() and f.relation.value == missing.relation.value for f in facts)


def test_sequences_hold_needles_and_questions_that_have_no_answer() -> None:
    source = corpus()
    kinds = Counter(turn.kind for item in (source.draw() for _ in range(150)) for turn in item.turns)
    assert kinds["needle"] > 50
    assert kinds["absent"] > 25
    assert kinds["fact"] > kinds["needle"]


def test_full_weight_lies_on_the_answers_and_nowhere_else() -> None:
    source = corpus()
    for item in (source.draw() for _ in range(30)):
        marked = np.zeros(len(item.ids), dtype=bool)
        for start, end in answers_of(item):
            marked[start:end] = True
            assert item.ids[start - 1] == ANSWER
            assert item.ids[end - 1] == EOS
        assert ((item.weights == ANSWER_WEIGHT) == marked).all()


def test_the_source_of_an_answer_holds_it_and_stands_before_the_questions() -> None:
    source, known = corpus(), 0
    for item in (source.draw() for _ in range(40)):
        for turn in item.turns:
            if turn.source is None:
                continue
            known += 1
            begin, end = turn.source
            assert 1 <= begin < end <= item.turns[0].asked
            answer = " ".join(decode(item.ids[turn.answered : turn.end]).split())
            assert answer.lower() in " ".join(decode(item.ids[begin:end]).split()).lower()
    assert known > 60


@pytest.mark.parametrize(
    ("about", "answer", "wanted"),
    [("the pier", "12", 13), ("The quay has", "12", 55), ("", "13", 78), ("", "12", None), ("the mole", "14", None)],
)
def test_of_several_places_the_source_is_the_one_beside_the_asked_thing(about: str, answer: str, wanted: int | None) -> None:
    text = "The pier has 12 lamps, all of them green.\nThe quay\nhas 12 lamps. The mole has 13."
    offsets = encode(text).offsets
    place = find_source(Pair("", (answer,), about), text, offsets)
    if wanted is None:
        assert place is None
    else:
        assert place is not None
        begin, end = place
        assert offsets[begin - 1][0] <= wanted
        assert offsets[end - 2][1] >= wanted + len(answer)
        assert end - begin <= 2


def test_a_sequence_is_as_long_as_the_window_and_begins_with_bos() -> None:
    source = corpus()
    for item in (source.draw() for _ in range(20)):
        assert item.ids[0] == BOS
        assert item.weights[0] == 0
        assert len(item.ids) == len(item.weights)
        assert len(item.ids) == 512


def test_the_same_seed_gives_the_same_sequences() -> None:
    first, second = corpus(9), corpus(9)
    for _ in range(10):
        assert (first.draw().ids == second.draw().ids).all()


def test_a_batch_is_padded_with_weight_zero() -> None:
    source = corpus()
    short = corpus(length=300).draw()
    ids, weights = batch([source.draw(), short])
    assert ids.shape == weights.shape == (2, 512)
    assert (weights[1, 300:] == 0).all()
    assert (ids[1, 300:] == EOS).all()


def test_wrapping_changes_nothing_but_white_space_and_rare_hyphens() -> None:
    text = " ".join(f"word{i}" for i in range(200))
    assert surroundings.wrapped(Random(1), text).split() == text.split()
    assert max(len(line) for line in surroundings.wrapped(Random(1), text).splitlines()) <= 95


def test_a_table_states_all_of_its_facts() -> None:
    for seed in range(20):
        text, facts = surroundings.as_table(Names(Random(seed)))
        assert facts
        assert all(item.value in text for item in facts)


def test_drawn_facts_are_about_different_things_or_different_attributes() -> None:
    for seed in range(30):
        facts = surroundings.draw_facts(Names(Random(seed)), 20)
        assert len(facts) == 20
        assert len({(f.entity.lower(), f.relation) for f in facts}) == 20


def test_missing_folders_leave_the_sources_empty(tmp_path: Path) -> None:
    assert load_sources(tmp_path).prose.files == ()
