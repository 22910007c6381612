"""Whether an answer in sentences is right: it holds the wanted answer and no rival of it. Strings only.

RULER counts an answer that contains the wanted string, which one that lists everything would too. So no other candidate of the
same kind may stand beside it:

- Wanted is a number (it holds digits): another number, by value, that the question does not hold. A year has years as rivals
  (four digits from 1000 to 2100), a time of day times, a code with letters codes; a quantity has numbers of the same unit and
  numbers without any, but no years. "640 metres, finished in 1887" and "14 hives in 3 gardens" have none, "12 or 14 hives" has.
- Wanted is a name (a word of it begins with a capital): another run of capitalised words that are not all in the question or
  in the wanted answer, of two words or more where the wanted name has as many. Names behind a word such as "in", "by" or "the"
  are of another kind ("whose office is in the Customs House"), unless the wanted one stands behind such a word, too. So is the
  subject of a sentence that has the wanted one behind a word of place ("Theo Underden was born in Lusby"), unless the question
  asks who. Months, weekdays and the first word of a sentence are no names.
- Wanted is anything else: nothing but the word "or" directly beside it, which makes a rival of the other side of any answer.

Money, dates, metres and litres are compared in one spelling: £25 is 25 pounds, February 16th is 16 February. A wanted "five"
is held by "5 hives", and a wanted "14 hives" by "fourteen hives".

An answer that denies the wanted one ("not Odile Farrant") is wrong as well, and so is one that refuses (`is_refusal`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tscli.evaluation.score import is_refusal, normalised
from tscli.evaluation.words import words

MAX_NEW_TOKENS = 40  # of an answer: what is not said by then does not count
CODE, DIGITS, TAIL = r"(?P<code>[A-Za-z]{1,6}-?)?", r"(?P<digits>\d+(?:[.,:]\d+)*)", r"(?P<tail>[A-Za-z]*)"
NUMBER = re.compile(rf"(?<![\w.,:]){CODE}{DIGITS}{TAIL}(?!\w)")
LIST_MARK = re.compile(r"(?m)^\s*(?:\d{1,2}[.)]|[-*])\s+")
UNIT = re.compile(r"\s*([^\W\d_]+|[%°])")
NO_UNITS = frozenset(
    words("a about after all an and are as at before but by each for from in is it of on or per so that the to was")
)
WORD = r"[A-ZÀ-ÖØ-Þ][\w'’-]*"
NAME = re.compile(rf"{WORD}(?:\s+(?:(?:of|de|du|la|van|von|the)\s+){{0,2}}{WORD})*")
BEHIND = frozenset(words("a after an at behind by for from in into near of on the through to towards under"))
OPENERS = frozenset(
    words(
        "a according an and answer as at based because but by currently for from he her here his however i in it its no of on "
        "our question she so sure that the their there therefore these they this those to under we well what when where which "
        "who with yes you your"
    )
)
CALENDAR = frozenset(
    words(
        "january february march april may june july august september october november december monday tuesday wednesday "
        "thursday friday saturday sunday"
    )
)
MONTH = r"(January|February|March|April|May|June|July|August|September|October|November|December)"
SPELLINGS = (
    (re.compile(r"£\s?(\d+(?:[.,]\d+)*)"), r"\1 pounds"),
    (re.compile(r"\$\s?(\d+(?:[.,]\d+)*)"), r"\1 dollars"),
    (re.compile(r"€\s?(\d+(?:[.,]\d+)*)"), r"\1 euros"),
    (re.compile(r"(?i)(?<![^\W\d])((?:kilo|centi|milli)?(?:met|lit))re(s?)\b"), r"\1er\2"),
    (re.compile(rf"\b{MONTH} (?:the )?(\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)"), r"\2 \1"),
    (re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{MONTH}\b"), r"\1 \2"),
)
IN_WORDS = dict(
    zip(
        map(str, (*range(2, 21), *range(30, 100, 10))),
        words(
            "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
            "nineteen twenty thirty forty fifty sixty seventy eighty ninety"
        ),
        strict=True,
    )
)
IN_DIGITS = {word: digits for digits, word in IN_WORDS.items()}
ASKS_WHO = re.compile(r"(?i)\s*who(?:m|se)?\b")
# From a sentence's subject to a place.
PREDICATE = re.compile(r"\s+(?!and\b|or\b|nor\b)[a-z][^.!?]*\b(?:at|from|in|into|near)\s+(?:the\s+)?$")
ARTICLES = r"(?:(?:the|a|an|perhaps|maybe|possibly|about)\s+)*"


def is_right(answer: str, wanted: str, question: str) -> bool:
    """Whether the answer holds the wanted one, on the bounds of words once normalised as SQuAD has it, and no rival.

    Numbers are compared by value besides, since SQuAD's normalisation makes 72 of 7.2.
    """
    answer, question = _in_one_spelling(answer), _in_one_spelling(question)
    return any(_holds_alone(answer, form, question) for form in (_in_one_spelling(wanted), _otherwise_written(wanted)) if form)


def _otherwise_written(wanted: str) -> str:
    """A wanted number as digits where it is a word, and as a word where it is digits; "" where it is neither."""
    first, space, rest = wanted.strip().partition(" ")
    other = IN_DIGITS.get(first.lower()) or IN_WORDS.get(first)
    return f"{other}{space}{rest}" if other else ""


def _holds_alone(answer: str, wanted: str, question: str) -> bool:
    asked = normalised(wanted)
    if not asked or f" {asked} " not in f" {normalised(answer)} " or is_refusal(answer):
        return False
    return _values(wanted) <= _values(answer) and not _denied(answer, wanted) and not rivals(answer, wanted, question)


def _in_one_spelling(text: str) -> str:
    for pattern, spelling in SPELLINGS:
        text = pattern.sub(spelling, text)
    return text


def rivals(answer: str, wanted: str, question: str) -> list[str]:
    """The candidates in an answer, which holds the wanted one, that are of the same kind; see the module."""
    text = LIST_MARK.sub("", answer)
    found = _beside_or(text, wanted)
    if NUMBER.search(wanted):
        return found + list(_other_numbers(text, wanted, question))
    if _name_words(wanted):
        return found + list(_other_names(text, wanted, question))
    return found


def _place(answer: str, wanted: str) -> re.Match[str] | None:
    """Where the wanted answer stands as it is written; None where only punctuation or articles keep it from being found."""
    spelled = r"\s+".join(re.escape(word) for word in wanted.split())
    return re.search(rf"(?<!\w){spelled}(?!\w)", answer, re.IGNORECASE)


def _beside_or(answer: str, wanted: str) -> list[str]:
    place = _place(answer, wanted)
    if place is None:
        return []
    before = re.search(rf"(\w+),?\s+(?:or|nor)\s+{ARTICLES}$", answer[: place.start()], re.IGNORECASE)
    behind = re.match(r",?\s+(?:or|nor)\s+(?!so\b|more\b|less\b)(\w+)", answer[place.end() :], re.IGNORECASE)
    return [match[1] for match in (before, behind) if match]


def _denied(answer: str, wanted: str) -> bool:
    place = _place(answer, wanted)
    return place is not None and re.search(rf"\b(?:not|never|neither)\s+{ARTICLES}$", answer[: place.start()]) is not None


def _value(number: re.Match[str]) -> str:
    code = (number["code"] or "").rstrip("-").lower()
    return code + re.sub(r",(?=\d{3}(?!\d))", "", number["digits"])


def _values(text: str) -> set[str]:
    return {_value(number) for number in NUMBER.finditer(text)}


def _is_year(number: re.Match[str]) -> bool:
    return (
        not number["code"]
        and number["digits"].isdigit()
        and 1000 <= int(number["digits"]) <= 2100
        and len(number["digits"]) == 4
    )


def _unit(number: re.Match[str], text: str) -> str | None:
    """What is counted: the word behind the number, singular; None where none stands there."""
    behind = number["tail"] or (found[1] if (found := UNIT.match(text[number.end() :])) else "")
    return None if behind.lower() in NO_UNITS or not behind else behind.lower().rstrip("s")


def _other_numbers(answer: str, wanted: str, question: str) -> Iterator[str]:
    known = _values(question) | _values(wanted)
    asked = list(NUMBER.finditer(wanted))[-1]
    unit = _unit(asked, wanted)
    if unit is None:
        own = next((number for number in NUMBER.finditer(answer) if _value(number) == _value(asked)), None)
        unit = _unit(own, answer) if own else None
    wants_year = _is_year(asked) and not _unit(asked, wanted)
    for number in NUMBER.finditer(answer):
        if _value(number) in known:
            continue
        if asked["code"] or number["code"]:
            same = bool(asked["code"]) == bool(number["code"])
        elif ":" in asked["digits"] or ":" in number["digits"]:
            same = (":" in asked["digits"]) == (":" in number["digits"])
        elif wants_year or _is_year(number):
            same = wants_year == _is_year(number) or (unit is not None and _unit(number, answer) == unit)
        else:
            same = unit is None or _unit(number, answer) in (None, unit)
        if same:
            yield number[0]


def _name_words(name: str) -> list[str]:
    return [word for word in re.findall(WORD, name) if word.lower() not in ("a", "an", "the")]


def _other_names(answer: str, wanted: str, question: str) -> Iterator[str]:
    known = set(_plain(f"{wanted} {question}").split()) | CALENDAR
    place, needed = _place(answer, wanted), min(2, len(_name_words(wanted)))
    own_behind = place is not None and _behind(answer, place.start())
    for run in NAME.finditer(answer):
        name, start = run[0], run.start()
        opens = _opens_sentence(answer, start)
        if opens and (first := re.match(r"(\S+)\s+", name)) and first[1].lower() in OPENERS:
            name, start, opens = name[first.end() :], start + first.end(), False
        parts = _plain(" ".join(_name_words(name))).split()
        if len(parts) < needed or set(parts) <= known or f" {normalised(wanted)} " in f" {normalised(name)} ":
            continue
        if opens and len(parts) == 1 and not re.match(r"\s*(?:,|/|\band\b|\bor\b)", answer[run.end() :]):
            continue
        if (opens and parts[0] in OPENERS) or (not own_behind and _behind(answer, start)):
            continue
        if opens and place is not None and not ASKS_WHO.match(question) and PREDICATE.match(answer[run.end() : place.start()]):
            continue
        yield name


def _plain(text: str) -> str:
    """Normalised, the genitive's s left out."""
    return normalised(re.sub(r"['’]s\b", "", text))


def _behind(answer: str, start: int) -> bool:
    """Whether the word before is one that a name of another kind stands behind."""
    before = re.search(r"(\w+)\s+$", answer[:start])
    return before is not None and before[1].lower() in BEHIND


def _opens_sentence(answer: str, start: int) -> bool:
    before = answer[:start].rstrip(" \"'“(*#")
    return not before or before[-1] in ".!?:\n"
