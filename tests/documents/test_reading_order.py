"""A PDF's page is read in the order in which a person reads it, whatever the order of its painting."""

from __future__ import annotations

import pytest

from tests.documents.pdfs import at, glyphs, painted
from tscli.documents.pdf import PdfPages
from tscli.documents.pdf_bidi import in_reading_order
from tscli.documents.pdf_choice import Candidate, is_readable, tidy


def text(data: bytes) -> str:
    return PdfPages(data, ()).text(0).text


def as_read(seen: str) -> str:
    """What is read of glyphs that stand beside each other, from left to right, and come in that order."""
    order = in_reading_order([(char, 10.0 * place, 10.0 * place + 9) for place, char in enumerate(seen)])
    return "".join(shown for _, shown in order) if order is not None else seen


@pytest.mark.parametrize(
    ("seen", "read"),
    [
        ("2021-\u05d1 \u05d4\u05d0\u05e6\u05d9", "\u05d9\u05e6\u05d0\u05d4 \u05d1-2021"),
        ("\u05dc\u05e9 PDF Reader 2.5 \u05d4\u05e1\u05e8\u05d2", "\u05d2\u05e8\u05e1\u05d4 PDF Reader 2.5 \u05e9\u05dc"),
        ("12:30 \u05d4\u05e2\u05e9\u05d1 10/05/2021", "10/05/2021 \u05d1\u05e9\u05e2\u05d4 12:30"),
        ("The word \u05dd\u05d5\u05dc\u05e9 means peace", "The word \u05e9\u05dc\u05d5\u05dd means peace"),
        ("(\u05d1)4 \u05e3\u05d9\u05e2\u05e1", "\u05e1\u05e2\u05d9\u05e3 4(\u05d1)"),
        ("\u05dd\u05dc\u05d5\u05db\u05dc 15%", "15% \u05dc\u05db\u05d5\u05dc\u05dd"),
    ],
)
def test_words_and_figures_within_text_from_the_right_are_read_as_such(seen: str, read: str) -> None:
    """Brackets are seen in the shape that they have on the page."""
    assert as_read(seen) == read


def test_a_mixed_line_of_a_page_is_read_by_the_places_of_its_letters() -> None:
    seen = "2021-\u05d1 PDF Reader \u05d4\u05e1\u05e8\u05d2"
    number = {char: 3 + index for index, char in enumerate(sorted(set(seen)))}
    page = glyphs(seen, {code: char for char, code in number.items()}, number)
    assert text(page) == "\u05d2\u05e8\u05e1\u05d4 PDF Reader \u05d1-2021"


LINES = ["The lighthouse keeper wrote down", "every ship that passed at night", "and the hour of its passing,", "year by year."]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_page_that_lies_on_its_side_is_read_from_its_first_line(degrees: int) -> None:
    content = b"".join(at(72, 700 - 16 * row, line) for row, line in enumerate(LINES))
    assert text(painted(content, page=b"/Rotate %d" % degrees)).split("\n") == LINES


def test_a_page_that_was_painted_from_the_bottom_up_is_read_from_the_top() -> None:
    content = b"".join(at(72, 700 - 16 * row, line) for row, line in reversed(list(enumerate(LINES))))
    assert text(painted(content)).split("\n") == LINES


def test_words_that_were_painted_last_stand_in_the_gap_that_was_left_for_them() -> None:
    content = at(72, 700, "The fee is") + at(180, 700, "per member,") + at(72, 684, "each year.") + at(132, 700, "EUR 40")
    assert text(painted(content)) == "The fee is EUR 40 per member,\neach year."


def test_a_table_whose_columns_were_painted_one_after_the_other_keeps_them() -> None:
    content = b"".join(
        at(left, 700 - 16 * row, f"{name}{row}") for name, left in (("a", 72), ("b", 200), ("c", 330)) for row in range(4)
    )
    shown = text(painted(content)).split("\n")
    assert shown[:4] == ["a0", "a1", "a2", "a3"]


@pytest.mark.parametrize(
    ("default", "group", "shown"),
    [
        (b"/OFF [5 0 R]", b"5 0 R", "on"),
        (b"/BaseState /OFF /ON [4 0 R]", b"5 0 R", "on"),
        (b"/OFF [5 0 R]", b"<< /Type /OCMD /OCGs [4 0 R 5 0 R] /P /AllOn >>", "on"),
        (b"/OFF [5 0 R]", b"<< /Type /OCMD /OCGs [4 0 R 5 0 R] >>", "on\noff"),
        (b"/OFF []", b"5 0 R", "on\noff"),
    ],
)
def test_layers_that_are_off_are_not_read(default: bytes, group: bytes, shown: str) -> None:
    layers = b"/OCProperties << /OCGs [4 0 R 5 0 R] /D << %s >> >>" % default
    content = b"/OC /A BDC " + at(72, 700, "on") + b" EMC /OC /B BDC " + at(72, 684, "off") + b" EMC"
    more = [b"<< /Type /OCG /Name (%s) >>" % name for name in (b"A", b"B")]
    resources = b"/Resources << /Font << /F 3 0 R >> /Properties << /A 4 0 R /B %s >> >>" % group
    data = painted(content, catalog=layers, more=more).replace(b"/Resources << /Font << /F 3 0 R >> >>", resources)
    assert text(data) == shown


def test_characters_that_stand_below_each_other_are_a_line() -> None:
    stacked = "\n".join("\u543e\u8f29\u306f\u732b") + "\nend"
    assert tidy(Candidate(stacked))[0] == "\u543e\u8f29\u306f\u732b\nend"


@pytest.mark.parametrize(
    ("page", "readable"),
    [
        ("/g1/g2/g3/g4/g5/g1/g2/g7/g3/g1/g2", False),
        ("7KH\x03WUHDW\\\x03ZDV\x03VLJQHG\x03LQ\x030XQVWHU\x03DQG\x03VHDOHG\x03WKHUH", False),
        ("!\"#$%&'()*+,-!\"#$%&'()*+,-!#%')+-!\"#$%&'()*+,-", False),
        ("see example.org/2019/12/31 and a/b/c of the year", True),
        ("The \x03o\x03ce of \x03reworks in Sta\x03ord is open on Mondays and on Tuesdays", True),
        ("abcdefghijklmnopqrstuvwxyz the quick brown fox jumps over the lazy dog and back", True),
    ],
)
def test_names_and_numbers_of_glyphs_are_no_text(page: str, readable: bool) -> None:
    assert is_readable(Candidate(page, num_characters=sum(not char.isspace() for char in page))) is readable
