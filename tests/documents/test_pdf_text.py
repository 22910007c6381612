"""The text of a PDF's page is what a reader sees on it; what is none is told, and never read as if it were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.pdfs import at, glyphs, lines, painted
from tscli.documents import Document, load

SENTENCE = "The harbour master of Lund is Odile Farrant."
NUMBERS = {char: 3 + index for index, char in enumerate(sorted(set(SENTENCE)))}  # a space is glyph 3, as mostly


def read(tmp_path: Path, data: bytes) -> Document:
    (tmp_path / "a.pdf").write_bytes(data)
    loaded = load([tmp_path], ocr="off", workers=1)
    assert loaded.failures == ()
    return loaded.documents[0]


def text(tmp_path: Path, data: bytes) -> str:
    return read(tmp_path, data).pages[0]


@pytest.mark.parametrize("offset", [0, 30, 5000])
def test_glyph_numbers_are_no_text(tmp_path: Path, offset: int) -> None:
    """Without a table of letters both parsers give the numbers as characters: controls, others, or plain ASCII."""
    document = read(tmp_path, glyphs(SENTENCE, None, {char: number + offset for char, number in NUMBERS.items()}))
    assert document.pages == ("",)
    assert document.pages_without_text == (1,)
    assert "glyph numbers" in document.warnings[0]
    assert "OCR" in document.warnings[0]


def test_glyph_numbers_with_a_table_are_text(tmp_path: Path) -> None:
    document = read(tmp_path, glyphs(SENTENCE, {number: char for char, number in NUMBERS.items()}, NUMBERS))
    assert document.pages == (SENTENCE,)
    assert document.warnings == ()


def test_a_ligature_that_is_mapped_to_nothing_is_told(tmp_path: Path) -> None:
    letters = {number: "\0" if char == "m" else char for char, number in NUMBERS.items()}
    document = read(tmp_path, glyphs(SENTENCE, letters, NUMBERS))
    assert document.pages == (SENTENCE.replace("m", "\ufffd"),)
    assert "page 1 with faults" in document.warnings[0]


def test_ligatures_become_letters(tmp_path: Path) -> None:
    shown = "The o#ce for @reworks is in Sta%ord."
    forms = {"#": "\ufb03", "@": "\ufb01", "%": "\ufb00"}
    numbers = {char: 3 + index for index, char in enumerate(sorted(set(shown)))}
    letters = {number: forms.get(char, char) for char, number in numbers.items()}
    assert text(tmp_path, glyphs(shown, letters, numbers)) == "The office for fireworks is in Stafford."


def test_digits_within_text_from_right_to_left_keep_their_order(tmp_path: Path) -> None:
    """As a page holds it: from left to right as it is seen."""
    seen = "\u05d7\u05ea\u05e4\u05e0 1947 \u05d4\u05e4\u05d9\u05d7 \u05dc\u05de\u05e0"
    numbers = {char: 3 + index for index, char in enumerate(sorted(set(seen)))}
    letters = {number: char for char, number in numbers.items()}
    expected = "\u05e0\u05de\u05dc \u05d7\u05d9\u05e4\u05d4 1947 \u05e0\u05e4\u05ea\u05d7"
    assert text(tmp_path, glyphs(seen, letters, numbers)) == expected


def test_letters_of_one_glyph_keep_their_order_from_right_to_left(tmp_path: Path) -> None:
    seen = "\u05dd@\u05e9"  # the middle glyph stands for two letters
    numbers = {char: 3 + index for index, char in enumerate(seen)}
    letters = {number: "\u05dc\u05d5" if char == "@" else char for char, number in numbers.items()}
    assert text(tmp_path, glyphs(seen, letters, numbers)) == "\u05e9\u05dc\u05d5\u05dd"


def test_east_asian_encodings_are_known(tmp_path: Path) -> None:
    said = "\ud56d\ub9cc\uc7a5\uc740 \uae40\ucca0\uc218\uc774\ub2e4."
    font = b"<< /Type /Font /Subtype /Type0 /BaseFont /HYSMyeongJo /Encoding /KSCms-UHC-H /DescendantFonts [4 0 R] >>"
    descendant = (
        b"<< /Type /Font /Subtype /CIDFontType0 /BaseFont /HYSMyeongJo /DW 1000 /FontDescriptor 5 0 R "
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (Korea1) /Supplement 1 >> >>"
    )
    descriptor = (
        b"<< /Type /FontDescriptor /FontName /HYSMyeongJo /Flags 4 /FontBBox [0 -200 1000 900] /ItalicAngle 0 /Ascent 800 "
        b"/Descent -200 /CapHeight 700 /StemV 80 >>"
    )
    content = b"BT /F 14 Tf 72 700 Td <%s> Tj ET" % said.encode("cp949").hex().encode()
    assert text(tmp_path, painted(content, font=font, more=[descendant, descriptor])) == said


def test_a_line_that_is_painted_twice_is_there_once(tmp_path: Path) -> None:
    line = "Total due: 4310 crowns"
    for offset in (0.0, 0.3, 0.8):
        assert text(tmp_path, painted(at(72, 700, line) + at(72 + offset, 700, line))) == line


def test_a_page_that_is_painted_twice_is_there_once(tmp_path: Path) -> None:
    page = at(72, 700, "Total due: 4310 crowns") + at(72, 680, "payable at noon")
    moved = at(72.4, 700.2, "Total due: 4310 crowns") + at(72.4, 680.2, "payable at noon")
    assert text(tmp_path, painted(page + moved)) == "Total due: 4310 crowns\npayable at noon"


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_letters_that_are_painted_twice_each_are_there_once(tmp_path: Path, offset: float) -> None:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    line, content = "Total due: 4477 crowns", b""
    for index, char in enumerate(line):
        left = 72 + stringWidth(line[:index], "Helvetica", 12)
        content += at(left, 700, char) + at(left + offset, 700, char)
    assert text(tmp_path, painted(content)) == line


def test_letters_that_are_painted_twice_within_one_text_are_there_once(tmp_path: Path) -> None:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    line = "Total due: 4477 crowns"
    pieces = "".join(f"({char}) {1000 * stringWidth(char, 'Helvetica', 1) - 30:g} ({char}) 30 " for char in line)
    assert text(tmp_path, painted(b"BT /F 12 Tf 72 700 Td [%s] TJ ET" % pieces.encode())) == line


def test_letters_that_are_twice_in_a_word_stay(tmp_path: Path) -> None:
    line = "The committee will keep all 1100 balloons in Mississippi too."
    assert text(tmp_path, painted(at(72, 700, line))) == line


COLUMNS = (
    ("The ferry to Holm leaves", "at seven in the morning", "from pier four, and it", "comes back at dusk."),
    ("The museum of ropes opens", "at noon on every Sunday", "and costs three crowns", "for grown people."),
)


def test_columns_that_are_painted_by_rows_are_read_one_after_the_other(tmp_path: Path) -> None:
    content = at(72, 740, "News of the island, in two columns, for all who came here today to read")
    for row, (left, right) in enumerate(zip(*COLUMNS, strict=True)):
        content += at(72, 700 - 14 * row, left) + at(320, 700 - 14 * row, right)
    heading, *rest = text(tmp_path, painted(content)).split("\n")
    assert heading.startswith("News of the island")
    assert rest == [*COLUMNS[0], *COLUMNS[1]]


def test_three_columns_of_unequal_lines_are_read_one_after_the_other(tmp_path: Path) -> None:
    third = ("The baker of the island", "sells rye bread and buns", "from six until ten")
    content = b""
    for row in range(4):
        for left, column in zip((60, 230, 410), (*COLUMNS, third), strict=True):
            content += at(left, 700 - 14 * row, column[row], 10) if row < len(column) else b""
    assert text(tmp_path, painted(content)).split("\n") == [*COLUMNS[0], *COLUMNS[1], *third]


def test_a_table_is_read_row_by_row(tmp_path: Path) -> None:
    rows = (
        ("Bone comb", "about 870", "herring room"),
        ("The cheese", "1942", "white room"),
        ("Ship bell", "1862", "salt room"),
    )
    content = b"".join(at(72 + 150 * i, 700 - 14 * row, cell) for row, cells in enumerate(rows) for i, cell in enumerate(cells))
    assert text(tmp_path, painted(content)).split("\n") == [" ".join(cells) for cells in rows]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("matrix", [b"1 0 0 1", b"0 1 -1 0", b"-1 0 0 -1", b"0 -1 1 0"])
def test_words_are_parted_at_every_rotation(tmp_path: Path, turn: int, matrix: bytes) -> None:
    a, b, _, _ = map(int, matrix.split())
    content = b"BT /F 12 Tf\n"
    along = 0
    for word in ("Odile", "Farrant", "since", "1987."):
        content += b"%s %d %d Tm (%s) Tj\n" % (matrix, 300 + a * along, 400 + b * along, word.encode())
        along += 8 + 7 * len(word)
    assert text(tmp_path, painted(content + b"ET", page=b"/Rotate %d" % turn)) == "Odile Farrant since 1987."


def test_raised_digits_are_no_part_of_the_figure(tmp_path: Path) -> None:
    content = at(72, 700, "Sales were 1,250") + at(160, 705, "3", 6) + at(166, 700, "tons of fish.")
    assert text(tmp_path, painted(content)) == "Sales were 1,250\u00b3 tons of fish."


def test_what_stands_off_the_page_is_not_seen(tmp_path: Path) -> None:
    assert text(tmp_path, painted(at(72, 700, "Seen.") + at(72, 2000, "Not seen.") + at(-400, 650, "Nor this."))) == "Seen."


def test_words_that_a_line_breaks_are_joined_and_hyphens_of_their_own_kept(tmp_path: Path) -> None:
    page = lines("The keeper of the light-", "house is Marit Olsen. The price-", "determining factors are two.")
    expected = "The keeper of the lighthouse\nis Marit Olsen. The price-determining\nfactors are two."
    assert text(tmp_path, painted(page)) == expected


def test_soft_hyphens_go(tmp_path: Path) -> None:
    font = FONT_WITH_ENCODING
    page = lines("The inter\xadnational rules of the well-known cooper\xad", "ation hold.")
    assert text(tmp_path, painted(page, font=font)) == "The international rules of the well-known cooperation\nhold."


FONT_WITH_ENCODING = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
