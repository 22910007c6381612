"""Needles: every answer stands in its statement, beside its key; values of one key come in the text's order."""

from random import Random

from tests.harness.reader_training.entities import Names
from tests.harness.reader_training.needles import chain, hidden, in_order, like, lone, table

MORE = ("carpet", "window", "engine", "bottle", "meadow", "ladder", "pencil", "saddle", "turnip", "violet") * 3


def names(seed: int) -> Names:
    return Names(Random(seed), more=MORE)


def test_every_value_stands_in_a_statement_with_its_key() -> None:
    for seed in range(80):
        texts, found, _ = hidden(names(seed), 8)
        assert len(texts) >= 8
        for needle in found:
            keys = needle.about.split(", ")
            assert all(key in needle.question for key in keys)
            for value in needle.answers:
                assert any(value in text and any(key in text for key in keys) for text in texts)


def test_no_statement_answers_a_question_that_is_said_to_have_no_answer() -> None:
    asked = 0
    for seed in range(80):
        _, found, absent = hidden(names(seed), 8)
        asked += len(absent)
        assert not {needle.question for needle in found} & set(absent)
    assert asked > 80


def test_questions_of_one_text_differ() -> None:
    for seed in range(40):
        questions = [needle.question for needle in hidden(names(seed), 12)[1]]
        assert len(questions) == len(set(questions))


def test_some_questions_ask_for_several_values_and_some_for_those_of_several_keys() -> None:
    found = [needle for seed in range(80) for needle in hidden(names(seed), 8)[1]]
    assert any(len(n.answers) > 1 and ", " not in n.about for n in found)
    assert any(len(n.answers) > 1 and ", " in n.about for n in found)


def test_a_like_key_shares_one_word() -> None:
    for seed in range(20):
        assert len({"carpet", "window"} & set(like(names(seed), "carpet-window").split("-"))) >= 1


def test_a_table_is_what_its_questions_ask_and_lacks_the_missing_keys() -> None:
    for seed in range(20):
        text, found, missing = table(names(seed), 6)
        assert all(f'"{n.about}": "{n.answers[0]}"' in text for n in found)
        assert not {n.question for n in found} & set(missing)


def test_a_chain_names_each_variable_after_the_one_that_it_takes_its_value_from() -> None:
    texts, needle = chain(names(3))
    assert texts[0].startswith(f"VAR {needle.answers[0]} = {needle.about}")
    for first, second, text in zip(needle.answers, needle.answers[1:], texts[1:], strict=False):
        assert text == f"VAR {second} = VAR {first}."


def test_a_lone_needle_holds_its_value() -> None:
    for seed in range(20):
        text, needle = lone(names(seed))
        assert needle.answers[0] in text
        assert text.startswith(needle.about)


def test_values_of_one_key_come_in_the_order_of_the_text_those_of_several_keys_as_asked() -> None:
    assert in_order(("22", "11"), "a-b", "x 11 y 22") == ("11", "22")
    assert in_order(("22", "11"), "a-b, c-d", "x 11 y 22") == ("22", "11")
