"""Generated tasks: the answers stand where they are said to, nothing is asked twice, the same seed gives the same."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import pytest

from tscli.errors import UsageError
from tscli.evaluation import haystack, tasks
from tscli.evaluation.score import contained, first_number, has_word


@pytest.mark.parametrize("task", sorted(tasks.MANY))
def test_every_wanted_answer_is_hidden_and_each_question_is_asked_once(task: str) -> None:
    exam = tasks.needles(Random(3), [task], 12)
    text = " ".join(needle.text for needle in exam.needles)
    assert len(exam.items) == len({item.question for item in exam.items}) == 12
    for item in exam.items:
        assert item.task == task
        assert item.score(" and ".join(item.wanted), item.wanted) == 1.0
        for wanted in item.wanted:
            assert wanted in text


def test_depths_are_spread_evenly() -> None:
    exam = tasks.needles(Random(3), ["single-numbers"], 10)
    assert sorted(item.depth or 0 for item in exam.items) == pytest.approx([0.05 + 0.1 * i for i in range(10)])
    assert {needle.depth for needle in exam.needles} == {item.depth for item in exam.items}


def test_multi_key_needles_have_siblings_that_share_a_word() -> None:
    exam = tasks.needles(Random(3), ["multikey"], 5)
    assert len(exam.needles) == 5 * (1 + tasks.SIBLINGS)
    for item in exam.items:
        first, second = item.question.rstrip("?").split()[-1].split("-")
        like = [n for n in exam.needles if f"{first}-" in n.text or f"-{second} " in n.text]
        assert len(like) >= 1 + tasks.SIBLINGS


def test_a_chain_of_variables_leads_from_each_name_back_to_the_value() -> None:
    exam = tasks.needles(Random(5), ["variables"], 3)
    for item in exam.items:
        place = {n.text.split()[1]: n for n in exam.needles}
        for name, source in zip(item.wanted[1:], item.wanted, strict=False):
            assert place[name].text == f"VAR {name} = VAR {source}."
            assert place[source].depth <= place[name].depth


def test_lists_hold_what_is_asked_for() -> None:
    exam = tasks.key_value(Random(1), 7, 50)
    assert len(exam.items) == 7
    assert len(exam.pieces) == 52
    for item in exam.items:
        key = item.question.split('"')[1]
        (line,) = [piece for piece in exam.pieces if key in piece]
        assert item.wanted[0] in line
    common = tasks.common_words(Random(1), 300)
    words = [piece.split(". ")[1].strip() for piece in common.pieces]
    counts = sorted({word: words.count(word) for word in words}.items(), key=lambda pair: -pair[1])
    assert {word for word, _ in counts[:10]} == set(common.items[0].wanted)
    assert counts[9][1] == 10 * counts[10][1]
    frequent = tasks.frequent_words(Random(1), 300)
    coded = [piece.strip() for piece in frequent.pieces]
    assert sorted(set(coded), key=coded.count, reverse=True)[:3] == list(frequent.items[0].wanted)


def test_a_list_of_words_for_a_long_context_has_enough_of_them() -> None:
    exam = tasks.common_words(Random(1), 40_000)
    assert len(exam.pieces) > 35_000
    assert len({piece.split(". ")[1] for piece in exam.pieces}) > 5_000


def test_more_questions_than_there_are_words_for_are_refused() -> None:
    with pytest.raises(UsageError, match="ask fewer"):
        tasks.needles(Random(1), ["multikey"], 2_000)


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    names = list(tasks.NEEDLE_TASKS)
    assert tasks.needles(Random(1), names, 4).needles == tasks.needles(Random(1), names, 4).needles
    assert tasks.needles(Random(1), names, 4).needles != tasks.needles(Random(2), names, 4).needles


def test_scores_are_those_of_the_originals() -> None:
    assert contained("It is 12 and 15.", ("12", "15", "9")) == pytest.approx(2 / 3)
    assert contained("AMBER", ("amber",)) == 1.0
    assert first_number("The key is 71432, not 5.", ("71432",)) == 1.0
    assert first_number("5 or 71432", ("71432",)) == 0.0
    assert first_number("none", ("1",)) == 0.0
    assert has_word('{"ab-1": "cd-2"}', ("cd-2",)) == 1.0
    assert has_word("cd-23", ("cd-2",)) == 0.0


def test_invented_prose_does_not_run_out_and_says_no_number() -> None:
    sentences = list(islice(haystack.invented(Random(1)), 500))
    assert len(set(sentences)) > 350
    assert not any(char.isdigit() for sentence in sentences for char in sentence)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)


def test_a_folder_gives_its_sentences_over_and_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One is here.\nTwo is\nthere! Three?")
    assert list(islice(haystack.of_folder(tmp_path), 5)) == [
        "One is here.",
        "Two is there!",
        "Three?",
        "One is here.",
        "Two is there!",
    ]
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UsageError, match="no text"):
        haystack.of_folder(tmp_path)
