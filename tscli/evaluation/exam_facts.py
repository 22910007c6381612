"""One fact of a blind exam: a relation, a subject, a value and the words in which it is stated. Strings only, seeded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

from tscli.evaluation.exam_names import Names, Value
from tscli.evaluation.exam_relations import RELATIONS, Relation


@dataclass(frozen=True)
class Fact:
    """What is stated of a subject, in which words."""

    relation: Relation
    subject: str
    value: Value
    statement: str


def state(rng: Random, relation: Relation, subject: str, names: Names) -> Fact:
    """A fact with a value that was not drawn before, in one of its relation's wordings."""
    value = names.value(relation.value)
    text = rng.choice(relation.statements).format(s=subject, v=value.text)
    return Fact(relation, subject, value, text[0].upper() + text[1:])


def ask(rng: Random, frames: Sequence[str], subject: str) -> str:
    """A question of one of these frames."""
    return rng.choice(frames).format(s=subject)


def draw_facts(rng: Random) -> Iterator[tuple[str, str, Value]]:
    """Facts without end, each of a subject of its own: its statement, a question worded like it, and the value."""
    names = Names(rng)
    for relation in cycle(rng.sample(RELATIONS, len(RELATIONS))):
        fact = state(rng, relation, names.subject(relation.subject), names)
        yield fact.statement, ask(rng, relation.questions, fact.subject), fact.value
