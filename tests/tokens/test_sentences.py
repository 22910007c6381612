"""Sentences: every character in exactly one, cut where a reader would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tscli.tokens.sentences import LONGEST, SHORTEST, sentence_end, sentence_spans


def cut(text: str) -> list[str]:
    return [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]


@given(st.text(alphabet="ab .!?\n\"'|-1A…。", max_size=900))
def test_spans_cover_the_text_without_gaps_and_none_is_endless(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(end > start for start, end in spans)
    assert all(end - start <= LONGEST + 2 * SHORTEST + text.count("\n") + text.count(" ") for start, end in spans)


def test_prose_is_cut_behind_its_full_stops_and_not_where_lines_are_wrapped() -> None:
    text = "The harbour master is Odile\nFarrant. She lives in the old tower (it is cold). Nobody knows why that is so!"
    assert cut(text) == [
        "The harbour master is Odile Farrant.",
        "She lives in the old tower (it is cold).",
        "Nobody knows why that is so!",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "The administrator is Yara S. Finch.",
        "The road runs to St. Orla and no further.",
        "Master of the port ..... Ines Wren",
    ],
)
def test_initials_titles_and_leading_dots_end_no_sentence(sentence: str) -> None:
    assert cut(sentence) == [sentence]


def test_a_heading_goes_with_what_it_heads_and_items_are_apart() -> None:
    text = "## Port\n\nThe master is called Odile Farrant.\n- the first pilot is Tobias Wren\n- the other pilot is Ada Lunt\n"
    assert cut(text) == [
        "## Port The master is called Odile Farrant.",
        "- the first pilot is Tobias Wren",
        "- the other pilot is Ada Lunt",
    ]


def test_a_table_is_cut_into_its_lines_and_an_endless_line_by_words() -> None:
    rows = [f"H-{number},Barometer paper rolls,drawer {number},52" for number in range(20)]
    assert cut("\n".join(rows)) == rows
    assert max(map(len, cut("stone " * 400))) <= LONGEST


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("The boat is named Patient Margaret. She", "The boat is named Patient Margaret. "),
        ("The boat is named Patient Margaret. ", ""),  # nothing goes on behind it yet
        ("The boat is named Patient Margaret.", ""),
        ("The field has a size of 3.5 acres and", ""),
        ("The owner of the mill is called Mr. Finch and", ""),
        ("1. Enter", ""),  # a number of a list is no sentence
        ("It costs £3. That is the price of a card. It", "It costs £3. That is the price of a card. "),
        ("The boats of the harbour are these:\n\nMargaret", "The boats of the harbour are these:\n\n"),
    ],
)
def test_the_first_sentence_ends_where_another_one_begins(text: str, first: str) -> None:
    assert text[: sentence_end(text)] == first
