"""What the documents of a blind exam say of things and people: relations, and how each is stated and asked for. Text only.

{s} is what it is said of, {v} what is said. A reworded question shares no word of meaning with a statement of its relation.
"""

from __future__ import annotations

from dataclasses import dataclass

from tscli.evaluation.exam_people import FAIR, FIRM, PERSON, RESERVE
from tscli.evaluation.exam_things import BOAT, BUILDING, CLUB

_HEADS = ("says", "asks", "rewords", "role")


@dataclass(frozen=True)
class Relation:
    """subject: the kind of thing that it is said of, value: the kind of value, see `exam_names`. role: how the person who is
    the value may be called instead, empty where it is none."""

    name: str
    subject: str
    value: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    reworded: tuple[str, ...]
    role: str = ""


def _read(text: str) -> list[Relation]:
    found = []
    for block in text.strip().split("\n\n"):
        head, *lines = block.split("\n")
        name, subject, value = head.split(" ", 2)
        parts = {kind: tuple(line[len(kind) + 1 :] for line in lines if line.startswith(f"{kind} ")) for kind in _HEADS}
        role = next(iter(parts["role"]), "")
        found.append(Relation(name, subject, value, parts["says"], parts["asks"], parts["rewords"], role))
    return found


RELATIONS = tuple(relation for text in (CLUB, BUILDING, BOAT, FAIR, FIRM, RESERVE, PERSON) for relation in _read(text))
