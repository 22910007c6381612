"""Facts: entities with invented names, their relations and values, worded as statements, records and questions.

Strings only, seeded. Knows the relation tables and names; does not know tokens or surrounding text (`corpus` does).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from tests.harness.reader_training.attributes import ATTRIBUTES, COMMON, SURFACES
from tests.harness.reader_training.deeds import DEEDS
from tests.harness.reader_training.entities import ROLES, VALUES, Names, cap, words
from tests.harness.reader_training.verbs import VERBS

STATEMENTS: tuple[str, ...] = (
    "The {n} of {e} is {v}", "{e} has a {n} of {v}", "{es} {n} is {v}", "The {n} of {e} was {v}", "For {e}, the {n} is {v}",
    "{e}: {n} {v}", "{v} is the {n} of {e}", "As for {e}, its {n} is given as {v}", "{n} of {e}: {v}",
    "The {n} [chosen|given|recorded|noted|set] for {e} is {v}", "The {n} for {e} is {v}", "{e} ({n}: {v})",
    "The {n} of {e} has been [changed|set|moved] to {v}", "{es} {n}, [we learn|it turns out], is {v}",
    "The {n} [at|in|on] {e} is {v}", "{e} has the {n} {v}",
)  # fmt: skip
OUTDATED: tuple[str, ...] = (
    "The {n} of {e} was {o} until {y}; since then it has been {v}", "Until {y} the {n} of {e} was {o}, now it is {v}",
    "The {n} of {e}, formerly {o}, is now {v}", "{e}: {n} {v} (until {y}: {o})", "In {y} {v} replaced {o} as the {n} of {e}",
    "{es} {n} used to be {o}; today it is {v}",
)  # fmt: skip
FORMER: tuple[str, ...] = (
    "What was the {n} of {e} before?", "What was the former {n} of {e}?", "What did the {n} of {e} use to be?",
)  # fmt: skip
HELD_OUT_STATEMENTS: tuple[str, ...] = (
    "Anyone who asks for the {n} of {e} is told {v}",
    "With {v} as its {n}, {e} was in the news",
)
QUESTIONS: tuple[str, ...] = (
    "What is the {n} of {e}?", "What is {es} {n}?", "What {n} does {e} have?", "Which {n} does {e} have?", "{n} of {e}?",
    "Tell me the {n} of {e}.", "What was the {n} of {e}?", "What is the {n} for {e}?", "Give the {n} of {e}.",
    "Do you know the {n} of {e}?", "what is the {n} of {e}", "What is the {n} [at|in|on] {e}?",
    "Which {n} is [given|recorded] for {e}?", "{e}: {n}?",
)  # fmt: skip
HELD_OUT_QUESTIONS: tuple[str, ...] = ("I need to know the {n} of {e}.", "Please look up the {n} that belongs to {e}.")

WRAPPERS = (
    "[Please|Quick question]: {}", "Can you [say|tell me]: {}", "According to the [documents|text|files], {}",
    "{} [Please answer.|Be brief.]",
    "I [would like to know|wonder]: {}", "[Hello|Hi], {}", "{} [Thanks.|Thank you.]",
)  # fmt: skip
LAST_WORDS = words("number rate level size limit code name date type count time ratio mode index class length value owner unit")


@dataclass(frozen=True)
class Relation:
    """One relation: the kinds of entity it holds for, its kind of value, its nouns (may be none), its wordings, and words
    of which a fact takes one."""

    kinds: tuple[str, ...]
    value: str
    nouns: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    verbs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fact:
    """One fact. `noun` is the attribute's name (a noun of the relation or an invented one), "" if it has none; `verb` the
    word that fills the relation's wordings; `former` an outdated value, "" if there is none."""

    kind: str
    entity: str
    relation: Relation
    noun: str
    value: str
    verb: str = ""
    former: str = ""


@lru_cache(maxsize=2)
def relations(held_out: bool = False) -> tuple[Relation, ...]:
    """The relations of training, or (held_out) those never trained plus the trained ones in wordings never trained."""
    found = [_attribute(line, held_out) for line in ATTRIBUTES.strip().splitlines() if held_out or not line.startswith("!")]
    blocks = f"{VERBS.strip()}\n\n{DEEDS.strip()}".split("\n\n")
    return (*found, *(_worded(block, held_out) for block in blocks if held_out or not block.startswith("!")))


@lru_cache(maxsize=2)
def relations_by_kind(held_out: bool = False) -> dict[str, tuple[Relation, ...]]:
    """The relations that each kind of entity has."""
    return {kind: tuple(r for r in relations(held_out) if kind in r.kinds) for kind in SURFACES}


def entity(names: Names, kind: str, like: str | None = None) -> str:
    """A new entity's name of this kind; with `like`, one that shares its words but for one (a hard distractor)."""
    rng = names.rng
    if like and (shared := re.findall(r"[A-Z][a-zé]+", like)) and rng.random() < 0.9:
        return like.replace(rng.choice(shared), names.word())
    if like and not shared and " " in like:
        first, *rest = like.split()
        return " ".join([first, rng.choice(names.words), *rest[1:]])
    if kind in COMMON and rng.random() < 0.3:
        if rng.random() < 0.25:
            return f"the {rng.choice(names.nouns)}"
        last = rng.choice(names.nouns) if rng.random() < 0.4 else choose(rng, COMMON[kind])
        return f"the {rng.choice(names.words)} {last}"
    template = choose(rng, SURFACES[kind])
    fill = {
        "{w}": names.word, "{x}": names.word, "{c}": names.code, "{p}": names.phrase,
        "{r}": lambda: rng.choice(ROLES), "{a}": lambda: "".join(rng.choices("ABCDEFGHIKLMNOPRSTUVW", k=rng.randint(3, 5))),
         "{i}": lambda: str(names.rng.randint(2, 990)),
        "{l}": lambda: names.word().lower(), "{org}": names.org, "{person}": names.person,
        "{t}": lambda: f'"{"The " if names.rng.random() < 0.5 else ""}{names.word()} {cap(names.rng.choice(names.nouns))}"',
    }  # fmt: skip
    for mark, draw in fill.items():
        if mark in template:
            template = template.replace(mark, draw())
    return " ".join(template.split())


def fact(names: Names, kind: str, name: str, relation: Relation) -> Fact:
    """A fact of this relation about the named entity, with a value drawn for it.

    A quarter of the attributes get an invented name, so that the reader learns to match words rather than a list of them.
    """
    rng = names.rng
    noun = rng.choice(relation.nouns) if relation.nouns else ""
    if noun and rng.random() < 0.25:
        noun = names.phrase() if rng.random() < 0.6 else f"{rng.choice(names.nouns)} {rng.choice(LAST_WORDS)}"
    verb = rng.choice(relation.verbs) if relation.verbs else ""
    value = VALUES[relation.value](names)
    former = VALUES[relation.value](names) if noun and rng.random() < 0.06 else ""
    return Fact(kind, name, relation, noun, value, verb, former if former != value else "")


def statement(rng: Random, item: Fact) -> str:
    """The fact as a clause, first letter in upper case, without its full stop."""
    if item.former:
        template = rng.choice(OUTDATED).replace("{y}", str(rng.randint(1800, 2030))).replace("{o}", item.former)
        return cap(_fill(template, item, item.noun))
    return cap(_fill(choose(rng, rng.choice(item.relation.statements)).replace("  ", " "), item, item.noun or item.verb))


def question(rng: Random, item: Fact) -> str:
    """A question whose answer is the fact's value, possibly in other words than the statement."""
    noun = item.noun or item.verb
    if item.noun in item.relation.nouns and rng.random() < 0.4:
        noun = rng.choice(item.relation.nouns)
    text = _fill(choose(rng, rng.choice(item.relation.questions)).replace("  ", " ").replace(" ?", "?"), item, noun)
    if rng.random() < 0.12:
        return choose(rng, rng.choice(WRAPPERS)).format(text)
    return text if rng.random() < 0.1 else cap(text)


def former_question(rng: Random, item: Fact) -> str:
    """A question for the fact's outdated value."""
    return _fill(rng.choice(FORMER), item, item.noun)


def unanswered(names: Names, facts: Sequence[Fact]) -> Fact:
    """A fact that none of these states, hard to tell from them: another attribute of the same thing, or the same attribute of
    a thing with a like name; now and then about something else altogether."""
    rng, roll = names.rng, names.rng.random()
    item = rng.choice(facts)
    known = {f.relation.value for f in facts if f.entity == item.entity}
    others = [r for r in relations_by_kind(names.held_out)[item.kind] if r.value not in known]
    if roll < 0.45 and others:
        return fact(names, item.kind, item.entity, rng.choice(others))
    taken = {f.entity.lower() for f in facts}
    like = item.entity if roll < 0.85 else None
    while (name := entity(names, item.kind, like)).lower() in taken:
        like = None
    return replace(item, entity=name, former="")


def choose(rng: Random, template: str) -> str:
    """The template with every `[a|b]` (nested ones too) replaced by one of its alternatives."""
    while "[" in template:
        template = re.sub(r"\[([^\[\]]*)\]", lambda match: rng.choice(match.group(1).split("|")), template)
    return template


def _attribute(line: str, held_out: bool) -> Relation:
    kinds, value, nouns = (part.strip() for part in line.lstrip("! ").split(";"))
    unseen = HELD_OUT_STATEMENTS + STATEMENTS, HELD_OUT_QUESTIONS + QUESTIONS[:4]
    wordings = unseen if held_out else (STATEMENTS, QUESTIONS)
    return Relation(_split(kinds), value, _split(nouns), *wordings)


def _worded(block: str, held_out: bool) -> Relation:
    head, *lines = block.splitlines()
    kinds, value, verbs = (part.strip() for part in (head.lstrip("! ") + ";" * (2 - head.count(";"))).split(";"))
    lines = [line for line in lines if held_out or not line.startswith("!")]
    statements = tuple(line.lstrip("!= ") for line in lines if line.lstrip("! ").startswith("="))
    questions = tuple(line.lstrip("!? ") for line in lines if line.lstrip("! ").startswith("?"))
    return Relation(_split(kinds), value, (), statements, questions, _split(verbs) if verbs else ())


def _fill(template: str, item: Fact, noun: str) -> str:
    owner = item.entity + ("'" if item.entity.endswith("s") else "'s")
    parts = {"{es}": owner, "{e}": item.entity, "{v}": item.value, "{n}": noun, "{its}": "its"}
    for mark, text in parts.items():
        template = template.replace(mark, text)
    return template


def _split(kinds: str) -> tuple[str, ...]:
    return tuple(kind.strip() for kind in kinds.split(","))
