"""Words that lines break are found, and hyphens that are the author's stay."""

from __future__ import annotations

import time

import pytest

from tscli.documents.hyphens import Joined, join_broken_words


@pytest.mark.parametrize(
    ("broken", "joined"),
    [
        ("the light-\nhouse is", "the lighthouse\nis"),  # an English word
        ("a price-\ndetermining factor", "a price-determining\nfactor"),  # two words that make none
        ("der Leucht-\nturm von", "der Leuchtturm\nvon"),  # of another language
        ("send an e-\nmail now", "send an e-mail\nnow"),  # nobody breaks a word behind one letter
        ("Jean-\nPaul came", "Jean-Paul\ncame"),
        ("LIGHT-\nHOUSE NEWS", "LIGHTHOUSE\nNEWS"),
        ("a state-of-the-\nart pump", "a state-of-the-art\npump"),
        ("at example.org/new-\nharbour now", "at example.org/new-harbour\nnow"),
        ("(the light-\nhouse), where", "(the lighthouse),\nwhere"),
        ("light-\nhouse\nand", "lighthouse\nand"),
        ("of 2019-\n2020", "of 2019-\n2020"),
        ("first -\nsecond", "first -\nsecond"),
    ],
)
def test_a_break_is_mended_by_what_stands_there(broken: str, joined: str) -> None:
    assert join_broken_words([broken]).pages == (joined,)


def test_the_document_decides_by_how_it_writes_the_word_elsewhere() -> None:
    assert join_broken_words(["a light-\nhouse", "the light-house of Holm"]).pages[0] == "a light-house"
    assert join_broken_words(["the price-\ndetermining", "pricedetermining it is"]).pages[0] == "the pricedetermining"


@pytest.mark.parametrize(
    "page",
    [
        "the light-\nhouse\nis",
        "Jean-\nPaul\ncame",
        "a light\u2010\nhouse\n",
        "the pum-\nping-\nhouse\nof",
        "x\ufdd0y the light-\nhouse\n",
    ],
)
def test_what_stood_at_a_break_is_told_by_its_place(page: str) -> None:
    joined = join_broken_words(["no break", page])
    text = joined.pages[1]
    assert joined.breaks
    for number, place, taken in reversed(joined.breaks):
        assert number == 2
        text = text[:place] + taken + text[place:]
    assert text == page.replace("\ufdd0", "")


def test_pages_without_breaks_are_what_they_were() -> None:
    pages = ("One.\nTwo.", "well-known", "")
    assert join_broken_words(pages) == Joined(pages)


@pytest.mark.parametrize(
    "page", ["a-\n" * 300_000, "a" * 500_000 + "-\nb", ("a" * 190 + " ") * 5000 + "x-\ny", "a-b" * 66_000 + "-\nb"]
)
def test_no_text_takes_long(page: str) -> None:
    started = time.process_time()
    join_broken_words([page])
    assert time.process_time() - started < 10
