"""Blind exams: every answer stands where it is said to, nothing is stated twice, what is absent is not there."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tscli.errors import UsageError
from tscli.evaluation import exam, exam_names, read_questions
from tscli.evaluation.exam import Size, make
from tscli.evaluation.exam_facts import draw_facts
from tscli.evaluation.exam_names import Names
from tscli.evaluation.exam_prose import GENRES, filler
from tscli.evaluation.exam_relations import RELATIONS
from tscli.evaluation.match import is_right
from tscli.evaluation.words import words

SMALL = Size(lookups=20, reworded=10, absent=10, two=5)
STOP = set(words(
    "a an and any are as at be by can come did do does down for from go goes had has have her how in since into is it its many "
    "much must no of off on one or out s say she that the there this to under up was we were what when where which who whom "
    "whose with you his he than ever"
))  # fmt: skip


def content(frame: str) -> set[str]:
    return set(re.findall(r"[a-z]+", frame.lower().replace("{s}", "").replace("{v}", ""))) - STOP


def test_there_are_enough_relations_and_frames_of_each() -> None:
    assert len(RELATIONS) >= 25
    assert len({relation.name for relation in RELATIONS}) == len(RELATIONS)
    for relation in RELATIONS:
        assert len(relation.statements) >= 4
        assert len(relation.questions) >= 3
        assert len(relation.reworded) >= 2
        assert all(frame.count("{s}") == frame.count("{v}") == 1 for frame in relation.statements)
        assert all(frame.count("{s}") == 1 and "{v}" not in frame for frame in (*relation.questions, *relation.reworded))
        assert bool(relation.role) == (relation.value == "person")


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_a_reworded_question_shares_no_word_of_meaning_with_a_statement(relation: exam.Relation) -> None:
    unit = relation.value.split()[-1] if relation.value.startswith("count") else ""
    stated = set[str]().union(*map(content, (*relation.statements, unit)))
    for frame in relation.reworded:
        assert not content(frame) & stated
    assert any(content(frame) & stated for frame in relation.questions)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_every_question_has_one_answer_and_it_stands_in_its_file(seed: int) -> None:
    texts, lines = make(seed, 12_000, SMALL)
    assert Counter(line["kind"] for line in lines) == {"lookup": 20, "reworded": 10, "absent": 10, "two": 5}
    assert len({line["question"] for line in lines}) == len(lines)
    for line in lines:
        if line["kind"] == "absent":
            assert line["answer"] is line["file"] is None
            continue
        text = texts[line["file"]]
        fullest = line["answer"][0]
        assert re.search(rf"(?<!\w){re.escape(fullest)}(?!\w)", text)
        assert is_right(f"It is {fullest}.", fullest, line["question"])
        if line["kind"] == "two":
            assert line["through"] in texts
            assert line["through"] != line["file"]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_no_fact_is_stated_twice_and_no_absent_one_at_all(seed: int) -> None:
    texts, lines = make(seed, 12_000, SMALL)
    stated = Counter(
        (relation.name, match["s"].removeprefix("The ").removeprefix("the "))
        for text in texts.values()
        for sentence in re.split(r"(?<=[.!?])\s+|\n\n", text)
        for relation, pattern in PATTERNS
        if (match := pattern.fullmatch(sentence))
    )
    assert len(stated) >= 45
    assert max(stated.values()) == 1
    for line in lines:
        if line["kind"] not in ("lookup", "absent"):
            continue
        asked = {
            (relation.name, match["s"].removeprefix("the "))
            for relation, pattern in ASKED
            if (match := pattern.fullmatch(line["question"]))
        }
        assert len(asked) == 1
        assert bool(asked & set(stated)) == (line["kind"] == "lookup")


PERSON = rf"(?:{'|'.join(exam_names.FIRST)}) [A-Z][a-z]+"
THINGS = {kind: rf"(?:[Tt]he )?[A-Z][a-z]+ (?:{'|'.join(nouns)})" for kind, nouns in exam_names.KINDS.items()}
THINGS["boat"] = rf"[Tt]he (?:{'|'.join(exam_names.QUALITIES)}) (?:{'|'.join(exam_names.CREATURES)})"
VALUES = {"year": r"\d{4}", "money": r"[\d,]+ pounds", "code": r"\d{5}"}


def as_pattern(frame: str, relation: exam.Relation) -> re.Pattern[str]:
    """The frame for any subject and value of the relation's kinds."""
    kind, _, detail = relation.value.partition(":")
    values = VALUES | {"person": PERSON, "count": rf"[\d,]+ {detail.split()[-1]}" if detail else ""}
    text = re.escape(frame).replace(r"\{s\}", f"(?P<s>{THINGS.get(relation.subject, PERSON)})")
    return re.compile(text.replace(r"\{v\}", f"(?:{values.get(kind, '[^.]+')})"))


PATTERNS = [(relation, as_pattern(frame, relation)) for relation in RELATIONS for frame in relation.statements]
ASKED = [(relation, as_pattern(frame, relation)) for relation in RELATIONS for frame in relation.questions]


def test_another_seed_gives_other_names_and_the_same_seed_the_same() -> None:
    assert make(1, 12_000, SMALL) == make(1, 12_000, SMALL)
    first, second = (make(seed, 12_000, SMALL)[1] for seed in (1, 2))
    answers = [{line["answer"][0] for line in lines if line["answer"]} for lines in (first, second)]
    assert len(answers[0] & answers[1]) < 5


def test_names_do_not_come_twice() -> None:
    names = Names(Random(1))
    people = [names.person() for _ in range(300)]
    assert len({name.split()[1] for name in people}) == 300
    boats = [names.subject("boat") for _ in range(200)]
    inns = [names.value("inn").text for _ in range(100)]
    assert len({*boats, *(f"the {inn}" for inn in inns)}) == 300


def test_filler_says_no_number_and_names_nobody() -> None:
    for genre in GENRES:
        sentences = filler(Random(3), genre)
        text = [next(sentences) for _ in range(400)]
        assert len(set(text)) > 250
        assert not any(char.isdigit() for sentence in text for char in sentence)
        assert not any(re.search(r"\w [A-Z]", sentence.replace(" I ", " ").replace("Mother", "")) for sentence in text)


def test_the_length_is_about_what_is_asked_for_and_too_short_a_one_is_refused() -> None:
    texts, _ = make(4, 30_000, Size())
    words = sum(len(text.split()) for text in texts.values())
    assert 0.9 < words * exam.TOKENS_A_WORD / 30_000 < 1.1
    assert len(texts) == len(GENRES)
    with pytest.raises(UsageError, match="too few for so many questions"):
        make(4, 4_000, Size())


def test_the_files_are_those_that_eval_reads(tmp_path: Path) -> None:
    exam.write(tmp_path, 5, 12_000, SMALL)
    questions = read_questions(tmp_path / "questions.jsonl")
    assert len(questions) == 45
    assert all((tmp_path / question.file).is_file() for question in questions if question.file)
    assert all(question.page == 1 for question in questions if question.file)
    assert json.loads((tmp_path / "questions.jsonl").read_text().splitlines()[0])["id"] == 1


def test_facts_for_needles_are_each_of_a_subject_of_its_own() -> None:
    facts = list(islice(draw_facts(Random(7)), 40))
    assert len({question for _, question, _ in facts}) == 40
    assert all(value.text in statement for statement, _, value in facts)
