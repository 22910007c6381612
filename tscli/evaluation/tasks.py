"""Generated tasks with known answers, after RULER (arXiv 2404.06654) and InfiniteBench (arXiv 2402.13718), and facts as
they stand in a blind exam (`exam`). Strings only.

A context serves many questions, since that is what tscli is for. So a single needle is one of several whose keys have no word
in common, and each needle of the multi-key task has three more beside it whose keys share a word with its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

from tscli.errors import UsageError
from tscli.evaluation.exam_facts import draw_facts
from tscli.evaluation.match import MAX_NEW_TOKENS, is_right
from tscli.evaluation.score import contained, first_number, has_word
from tscli.evaluation.words import words

QUALITIES = words(
    "amber brisk calm daring eager faint gentle humble icy jolly keen lively misty noble odd proud quick rusty silent tidy "
    "upright vivid warm young zesty blunt crisp dusty early fancy grand hollow inner jagged kind loyal mellow nimble outer "
    "pale rapid smooth"
)
THINGS = words(
    "anchor basket candle dagger engine feather goblet hammer island jacket kettle ladder mirror needle orchid pebble "
    "quiver ribbon saddle tunnel urchin violin walnut yacht zipper barrel cactus dragon ember falcon guitar helmet insect "
    "jungle kitten lantern magnet nutmeg"
)
MAGIC = "One of the special magic {kind} for {key} is: {value}."
SIBLINGS = 3  # further needles per multi-key question


@dataclass(frozen=True)
class Item:
    """A question, the answers that count, and where its needle stands (0 beginning, 1 end; None: everywhere or nowhere).

    max_new_tokens: what an answer must be said in.
    """

    task: str
    question: str
    wanted: tuple[str, ...]
    depth: float | None
    score: Callable[[str, Sequence[str]], float] = contained
    max_new_tokens: int = 48


@dataclass(frozen=True)
class Needle:
    """A sentence to be hidden at a depth."""

    depth: float
    text: str


@dataclass(frozen=True)
class Exam:
    """What is asked of one context. needles: hidden in prose; pieces: the context itself, where it is no prose."""

    needles: tuple[Needle, ...]
    items: tuple[Item, ...]
    pieces: tuple[str, ...] = ()


class Draw:
    """Keys and values, none of them twice."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self._pairs = self._unlike_pairs()
        self._used: set[str] = set()
        self.facts = draw_facts(rng)

    def key(self) -> str:
        """A key such as `amber-anchor` that shares no word with those drawn before, as long as there are words."""
        return self._new(lambda: next(self._pairs))

    def like(self, key: str) -> str:
        """A key that shares one word with this one."""
        first, second = key.split("-")
        return self._new(
            lambda: (
                f"{first}-{self.rng.choice(THINGS)}" if self.rng.random() < 0.5 else f"{self.rng.choice(QUALITIES)}-{second}"
            )
        )

    def value(self, kind: str) -> str:
        """A number of seven digits, a uuid, or two words (three once many are drawn)."""
        if kind == "uuids":
            return str(UUID(int=self.rng.getrandbits(128), version=4))
        if kind == "words":
            more = len(self._used) > len(QUALITIES) * len(THINGS) // 2
            return self._new(lambda: " ".join([*self.rng.choices(QUALITIES, k=1 + more), self.rng.choice(THINGS)]))
        return self._new(lambda: str(self.rng.randint(1_000_000, 9_999_999)))

    def _unlike_pairs(self) -> Iterator[str]:
        while True:
            first, second = list(QUALITIES), list(THINGS)
            self.rng.shuffle(first)
            self.rng.shuffle(second)
            for a, b in zip(first, second, strict=False):
                yield f"{a}-{b}"

    def _new(self, draw: Callable[[], str]) -> str:
        for _ in range(10_000):
            if (found := draw()) not in self._used:
                self._used.add(found)
                return found
        raise UsageError("too many questions for one context: no unused words are left; ask fewer")


def needles(rng: Random, tasks: Sequence[str], count: int) -> Exam:
    """The tasks that hide needles in prose, `count` questions of each, at evenly spread depths."""
    draw = Draw(rng)
    hidden: list[Needle] = []
    items: list[Item] = []
    for task in tasks:
        for depth in spread(rng, count if task in MANY else 1):
            NEEDLE_TASKS[task](draw, depth, hidden, items)
    return Exam(tuple(hidden), tuple(items))


def spread(rng: Random, count: int) -> list[float]:
    """Depths in the middle of `count` equal parts, in random order."""
    depths = [(i + 0.5) / count for i in range(count)]
    rng.shuffle(depths)
    return depths


def _single(kind: str) -> Callable[[Draw, float, list[Needle], list[Item]], None]:
    def task(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
        key, value = draw.key(), draw.value(kind)
        hidden.append(Needle(depth, MAGIC.format(kind=kind, key=key, value=value)))
        items.append(Item(f"single-{kind}", f"What is the special magic {kind[:-1]} for {key}?", (value,), depth))

    return task


def _multi_key(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
    key, value = draw.key(), draw.value("numbers")
    hidden.append(Needle(depth, MAGIC.format(kind="numbers", key=key, value=value)))
    for _ in range(SIBLINGS):
        text = MAGIC.format(kind="numbers", key=draw.like(key), value=draw.value("numbers"))
        hidden.append(Needle(draw.rng.random(), text))
    items.append(Item("multikey", f"What is the special magic number for {key}?", (value,), depth))


def _multi_value(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
    key, values = draw.key(), tuple(draw.value("numbers") for _ in range(4))
    hidden.extend(Needle(draw.rng.random(), MAGIC.format(kind="numbers", key=key, value=value)) for value in values)
    items.append(Item("multivalue", f"What are all the special magic numbers for {key}?", values, None))


def _multi_query(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
    pairs = {draw.key(): draw.value("numbers") for _ in range(4)}
    hidden.extend(Needle(draw.rng.random(), MAGIC.format(kind="numbers", key=k, value=v)) for k, v in pairs.items())
    *most, last = pairs
    question = f"What are all the special magic numbers for {', '.join(most)}, and {last}?"
    items.append(Item("multiquery", question, tuple(pairs.values()), None))


def _variables(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
    """A chain of four assignments in order; the names that hold the value are asked for."""
    value = str(draw.rng.randint(10_000, 99_999))
    names = tuple("".join(draw.rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=5)) for _ in range(5))
    sources = (value, *(f"VAR {name}" for name in names))
    places = sorted(draw.rng.random() for _ in names)
    hidden.extend(Needle(at, f"VAR {n} = {s}.") for at, n, s in zip(places, names, sources, strict=False))
    question = f"Find all variables that are assigned the value {value} in the text above."
    items.append(Item("variables", question, names, None))


def _passkey(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
    value = str(draw.rng.randint(10_000, 99_999))
    hidden.append(Needle(depth, f"The pass key is {value}. Remember it. {value} is the pass key."))
    items.append(Item("passkey", "What is the pass key?", (value,), depth, first_number))


def _number_string(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
    value = "".join(2 * digit for digit in draw.rng.choices("0123456789", k=5))
    hidden.append(Needle(depth, f"The sequence of digits is {value}. Remember it. {value} is the sequence of digits."))
    items.append(Item("number-string", "What is the sequence of digits?", (value,), depth, first_number))


def _book_fact(draw: Draw, depth: float, hidden: list[Needle], items: list[Item]) -> None:
    """A fact as it stands in a blind exam, in a sentence of plain English, and a natural question."""
    statement, question, value = next(draw.facts)
    hidden.append(Needle(depth, statement))

    def right(answer: str, wanted: Sequence[str]) -> float:
        known = " ".join((question, *wanted))
        return float(any(is_right(answer, one, known) for one in wanted))

    said = tuple(answer for answer in value.answers if answer in statement)
    items.append(Item("book-facts", question, said, depth, right, MAX_NEW_TOKENS))


def key_value(rng: Random, count: int, pairs: int) -> Exam:
    """InfiniteBench's retrieval from JSON: so many pairs of uuids, `count` of them asked for."""
    draw = Draw(rng)
    table = [(draw.value("uuids"), draw.value("uuids")) for _ in range(max(pairs, count))]
    lines = [f"{json.dumps(key)}: {json.dumps(value)}, " for key, value in table]
    items = []
    for depth in spread(rng, min(count, len(table))):
        key, value = table[int(depth * len(table))]
        items.append(Item("key-value", f'What is the value for the key "{key}"?', (value,), depth, has_word))
    return Exam((), tuple(items), ("{", *lines, "}"))


def common_words(rng: Random, words: int) -> Exam:
    """RULER's aggregation: ten words stand ten times as often as the others in a numbered list."""
    draw = Draw(rng)
    often = [draw.value("words") for _ in range(10)]
    rare = [draw.value("words") for _ in range(max(1, words // 6))]
    copies = max(1, round(words / (len(often) * 10 + len(rare))))
    listed = 10 * copies * often + copies * rare
    rng.shuffle(listed)
    pieces = [f"{number}. {word}\n" for number, word in enumerate(listed, start=1)]
    item = Item("common-words", "What are the 10 most common words in the list above?", tuple(often), None)
    return Exam((), (item,), tuple(pieces))


def frequent_words(rng: Random, words: int) -> Exam:
    """RULER's coded text: words of invented letters with Zipf's frequencies (exponent 2); the three most frequent are asked."""
    coded = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(max(4, words // 4))]
    shares = [1 / rank**2 for rank in range(1, len(coded) + 1)]
    counts = [round(words * share / sum(shares)) for share in shares]
    listed = [word for word, count in zip(coded, counts, strict=True) for _ in range(count)]
    rng.shuffle(listed)
    item = Item(
        "frequent-words", "What are the three most frequently appeared words in the text above?", tuple(coded[:3]), None
    )
    return Exam((), (item,), tuple(f"{word} " for word in listed))


NEEDLE_TASKS: dict[str, Callable[[Draw, float, list[Needle], list[Item]], None]] = {
    **{f"single-{kind}": _single(kind) for kind in ("words", "numbers", "uuids")},
    "multikey": _multi_key,
    "multivalue": _multi_value,
    "multiquery": _multi_query,
    "variables": _variables,
    "passkey": _passkey,
    "number-string": _number_string,
    "book-facts": _book_fact,
}
MANY = frozenset(NEEDLE_TASKS) - {"passkey", "number-string"}  # of the others a context holds one
TASKS = (*NEEDLE_TASKS, "key-value", "common-words", "frequent-words")
