"""Needles: short statements with a key and a value that mean nothing, many of the same form, as long-context tests hide them.

After RULER (arXiv 2404.06654) and InfiniteBench (arXiv 2402.13718), in their wordings and others, with keys of random words;
`tscli eval` draws its own keys and values. Strings only, seeded. Knows nothing of tokens.
"""

from dataclasses import dataclass
from random import Random
from uuid import UUID

from tests.harness.reader_training.entities import Names

REFUSAL = "not in the documents"
FORMS = (
    ("One of the special magic {n}s for {k} is: {v}.", "What is the special magic {n} for {k}?"),
    ("The special magic {n} for {k} is: {v}.", "What is the special magic {n} for {k} mentioned in the text?"),
    ("The {p} {n} for {k} is {v}.", "What is the {p} {n} for {k}?"),
    ("One of the {p} {n}s for {k} is: {v}.", "What is the {p} {n} for {k}?"),
    ("For {k} the {p} {n} is {v}.", "Which {p} {n} does {k} have?"),
    ("{k} has the {p} {n} {v}.", "What is the {p} {n} of {k}?"),
    ("Remember that {k} stands for {v}.", "What does {k} stand for?"),
    ("{k}: {v}", "What is the value for {k}?"),
    ("{k} = {v}", "What is {k}?"),
)
ALL = ("What are all the {p} {n}s for {k}?", "Which {p} {n}s are there for {k}?", "List the {p} {n}s for {k}.")
LONE = (
    ("The {k} is {v}. Remember it. {v} is the {k}.", "What is the {k}?"),
    ("The {k} is {v}. Remember it.", "What is the {k}?"),
)
LONE_KEYS = ("pass key", "sequence of digits", "secret", "access code", "answer", "special number", "signal")
KEYED = ('What is the value for the key "{k}"?', "Which value does {k} have?", 'What is stored under "{k}"?', "{k}?")
NOISE = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ",
    "Nothing of note happened. The day went by. ",
    "",
)


@dataclass(frozen=True)
class Needle:
    """A question and the values that answer it; `about` stands beside the first of them in the text."""

    question: str
    answers: tuple[str, ...]
    about: str


def value_of(names: Names, kind: str) -> str:
    """A value of this kind: digits, a word or two, a uuid or another string of letters and digits."""
    rng = names.rng
    if kind == "number":
        return "".join(rng.choices("0123456789", k=rng.choice((5, 6, 7, 7, 7, 7, 8, 10))))
    if kind == "word":
        return " ".join(rng.choices(names.words, k=rng.choice((1, 2, 2, 3))))
    if kind == "uuid":
        return str(UUID(int=rng.getrandbits(128), version=4))
    return names.secret()


def key_of(names: Names) -> str:
    """A key: mostly two words with a hyphen, else a code or a uuid."""
    rng, roll = names.rng, names.rng.random()
    if roll < 0.75:
        return "-".join(rng.choices(names.words, k=2))
    if roll < 0.85:
        return " ".join(rng.choices(names.words, k=2))
    return names.code() if roll < 0.93 else value_of(names, "uuid")


def like(names: Names, key: str) -> str:
    """A key that shares a word with this one where it has two."""
    mark = next((m for m in "- " if key.count(m) == 1), "")
    if not mark:
        return key_of(names)
    words = key.split(mark)
    words[names.rng.randrange(2)] = names.rng.choice(names.words)
    return mark.join(words)


def hidden(names: Names, count: int) -> tuple[list[str], list[Needle], list[str]]:
    """About `count` statements of one form or two with like keys, what they answer, and questions that none of them answers."""
    rng = names.rng
    phrase = rng.choice(("special magic", "special magic", "secret", "lucky", names.phrase(), rng.choice(names.words)))
    kinds = rng.choice((("number",), ("number",), ("word",), ("uuid",), ("number", "word"), ("number", "code")))
    form = rng.choice(FORMS[:1] * 6 + FORMS)
    texts, found, absent, seen = list[str](), list[Needle](), list[str](), set[str]()

    def say(key: str, kind: str, value: str) -> str:
        texts.append(form[0].format(p=phrase, n=kind, k=key, v=value))
        return form[1].format(p=phrase, n=kind, k=key)

    while len(texts) < count:
        first = key_of(names)
        for key in (first, *(like(names, first) for _ in range(rng.choice((0, 0, 1, 3))))):
            if key in seen:
                continue
            seen.add(key)
            kind = rng.choice(kinds)
            values = tuple(
                value_of(names, kind) for _ in range(rng.choice((1, 1, 1, 1, 1, 1, 1, 4)) if "{n}" in form[0] else 1)
            )
            question = [say(key, kind, value) for value in values].pop()
            if len(values) > 1:
                question = rng.choice(ALL).format(p="special magic" if "special magic" in form[0] else phrase, n=kind, k=key)
            found.append(Needle(question, values, key))
            if (missing := like(names, key)) not in seen and rng.random() < 0.5:
                absent.append(form[1].format(p=phrase, n=kind, k=missing))
    single = [n for n in found if len(n.answers) == 1]
    if len(single) >= 4 and "{n}" in form[0] and len(kinds) == 1 and rng.random() < 0.4:
        found.append(_of_several(rng, rng.sample(single, rng.randint(2, 4)), phrase, kinds[0], form[0]))
    return texts, found, [q for q in absent if not any(n.question == q for n in found)]


def _of_several(rng: Random, needles: list[Needle], phrase: str, kind: str, form: str) -> Needle:
    """One question for the values of several keys."""
    *most, last = [n.about for n in needles]
    keys = f"{', '.join(most)}, and {last}" if len(most) > 1 else f"{most[0]} and {last}"
    question = ALL[0].format(p="special magic" if "special magic" in form else phrase, n=kind, k=keys)
    return Needle(question, tuple(n.answers[0] for n in needles), ", ".join(n.about for n in needles))


def lone(names: Names) -> tuple[str, Needle]:
    """A statement without a key, such as that of the pass key, and its question."""
    rng = names.rng
    text, question = rng.choice(LONE)
    key = (
        rng.choice(LONE_KEYS) if rng.random() < 0.15 else rng.choice(names.nouns) + " " + rng.choice(("code", "key", "number"))
    )
    value = value_of(names, rng.choice(("number", "number", "word", "code")))
    return text.format(k=key, v=value), Needle(question.format(k=key), (value,), f"The {key} is")


def table(names: Names, count: int) -> tuple[str, list[Needle], list[str]]:
    """A JSON object of `count` keys with their values, what it answers, and questions for keys that it lacks."""
    rng = names.rng
    kinds = rng.choice((("uuid", "uuid"), ("uuid", "uuid"), ("word", "number"), ("code", "uuid"), ("number", "word")))
    pairs = {value_of(names, kinds[0]): value_of(names, kinds[1]) for _ in range(count)}
    question, gap = rng.choice(KEYED[:1] * 3 + KEYED), rng.choice((", ", ", ", ",\n", ",\n  "))
    text = "{" + gap.join(f'"{key}": "{value}"' for key, value in pairs.items()) + "}"
    missing = [question.format(k=value_of(names, kinds[0])) for _ in range(2)]
    return text, [Needle(question.format(k=k), (v,), k) for k, v in pairs.items()], missing


def chain(names: Names) -> tuple[list[str], Needle]:
    """Assignments of which each takes the value of the one before, in order, and the question for all that hold it."""
    rng = names.rng
    letters = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    variables = ["".join(rng.choices(letters, k=5)) for _ in range(rng.choice((2, 3, 5)))]
    value = str(rng.randint(10_000, 99_999))
    texts = [f"VAR {n} = {s}." for n, s in zip(variables, (value, *(f"VAR {n}" for n in variables)), strict=False)]
    question = f"Find all variables that are assigned the value {value} in the text above."
    return texts, Needle(question, tuple(variables), value)


def in_order(answers: tuple[str, ...], about: str, text: str) -> tuple[str, ...]:
    """The values of one key as they stand in the text; those of several keys stay as they are asked for."""
    return answers if about.count(", ") else tuple(sorted(answers, key=text.find))
