"""The generator of facts: wordings, values, the held-out split."""

import re
from random import Random

import pytest

from tests.harness.reader_training.attributes import SURFACES
from tests.harness.reader_training.entities import VALUES, WORDS, Names, held_out_word
from tests.harness.reader_training.facts import choose, entity, fact, question, relations, relations_by_kind, statement

EVERY = [(held_out, kind) for held_out in (False, True) for kind in SURFACES]


def test_there_are_at_least_150_relations_in_training() -> None:
    assert len(relations()) >= 150


def test_some_relations_are_never_trained() -> None:
    trained = {(r.kinds, r.value, r.nouns) for r in relations()}
    assert len([r for r in relations(True) if (r.kinds, r.value, r.nouns) not in trained]) >= 10


def test_some_wordings_are_never_trained() -> None:
    trained = {w for r in relations() for w in (*r.statements, *r.questions)}
    shared = [r for r in relations(True) if r.nouns == relations()[0].nouns]
    assert {w for r in shared for w in (*r.statements, *r.questions)} - trained


def test_every_relation_has_wordings_a_kind_and_a_value() -> None:
    for relation in relations(True):
        assert relation.statements
        assert relation.questions
        assert relation.value in VALUES
        assert set(relation.kinds) <= set(SURFACES)


@pytest.mark.parametrize(("held_out", "kind"), EVERY)
def test_the_statement_holds_entity_and_value_and_nothing_unfilled(held_out: bool, kind: str) -> None:
    names = Names(Random(kind), held_out)
    for relation in relations_by_kind(held_out)[kind]:
        item = fact(names, kind, entity(names, kind), relation)
        said, asked = statement(names.rng, item), question(names.rng, item)
        assert item.value.lower() in said.lower()
        assert item.entity.lower() in said.lower()
        assert item.entity.lower() in asked.lower()
        assert not re.search(r"\{\w+\}", said + asked)


def test_the_same_seed_gives_the_same_facts() -> None:
    def draw() -> list[str]:
        names = Names(Random(5))
        relation = relations()[3]
        return [statement(names.rng, fact(names, "room", entity(names, "room"), relation)) for _ in range(20)]

    assert draw() == draw()


def test_names_of_training_and_of_the_held_out_set_are_disjoint() -> None:
    trained = {Names(Random(seed)).word() for seed in range(2_000)}
    held = {Names(Random(seed), held_out=True).word() for seed in range(500)}
    assert not trained & held
    assert all(held_out_word(word) for word in held)


def test_real_words_are_split_too() -> None:
    assert {*Names(Random(0)).words} | {*Names(Random(0), held_out=True).words} == set(WORDS)


def test_a_like_named_entity_keeps_some_of_the_name() -> None:
    names = Names(Random(1))
    other = entity(names, "person", like="Ada Brenner")
    assert other != "Ada Brenner"
    assert set(other.split()) & {"Ada", "Brenner"} or " " not in other


def test_alternatives_may_be_nested() -> None:
    assert {choose(Random(seed), "a [b|c [d|e]]") for seed in range(40)} == {"a b", "a c d", "a c e"}
