"""The characters of a PDF's page as PDFium places them, and the text that they make to the eye. Knows nothing of files.

What is painted twice is there once, raised digits stay on their line, columns that are painted by rows are read one by one.
"""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pypdfium2
from pypdfium2 import raw

from tscli.documents.columns import Line, in_columns
from tscli.documents.pdf_annotations import Shown
from tscli.documents.pdf_bidi import in_reading_order
from tscli.documents.pdf_choice import REPLACEMENT, Candidate
from tscli.documents.pdf_form_fields import with_values
from tscli.documents.pdf_lines import in_order

LINE_BREAK_HYPHEN = "\x02"  # PDFium's mark for a hyphen at the end of a line; the line's end itself is left out
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
SAME_PLACE = 0.15  # of a character's height: so near, the same character is the same ink painted again
WIDE_GAP = 0.8  # of a line's height: a gap that may be one between columns
SPACE_GAP = 0.15  # of a line's height: a gap between words
ASCII_DIGITS = frozenset("0123456789")
SUPERSCRIPTS, SUBSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉"
SMALLER = 0.85  # than the digit in front: a digit that is raised or lowered
RAISED = 0.3  # of the smaller height: what overlaps by more stands on one line


class Char(NamedTuple):
    """A glyph's text, mostly one character, and its box, in points, the origin at the bottom left.

    generated: by PDFium, a space or a line's end. unmapped: no table of the font says which letter it is.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    generated: bool
    unmapped: bool

    @property
    def height(self) -> float:
        """Of the box, at least a hundredth of a point."""
        height = self.top - self.bottom
        return height if height > 0.01 else 0.01


def mended(textpage: pypdfium2.PdfTextPage, count: int, page: tuple[float, ...], values: Sequence[Shown] = ()) -> Candidate:
    """A page's `count` characters as a reader sees them; page: left, bottom, right, top of what is shown, in points.

    values: of the fields of an upright page.
    """
    kept = _raised(_level(_once(_on_page(_glyphs(_chars(textpage, count)), page))))
    text = "\n".join(in_columns(with_values(in_order([_line(_read(line)) for line in _split(kept)]), values)))
    unmapped = tuple(_runs(kept))
    solid = [char for char in kept if not char.generated and not char.text.isspace()]
    num_unmapped = sum(char.unmapped or char.text == "\0" for char in solid)
    return Candidate(text, unmapped, num_unmapped, len(solid), bool(values))


def goes_on(before: Char, after: Char) -> bool:
    """Whether what PDFium has on a line of its own is raised or lowered, as exponents and marks of notes, or follows such."""
    low, high = min(before.height, after.height), max(before.height, after.height)
    on_line = min(before.top, after.top) - max(before.bottom, after.bottom) > RAISED * low
    return on_line and -SPACE_GAP * high < after.left - before.right < WIDE_GAP * high


def _chars(textpage: pypdfium2.PdfTextPage, count: int) -> list[Char]:
    box, handle = raw.FS_RECTF(), textpage.raw
    pointer = ctypes.byref(box)
    look, has_error = raw.FPDFText_GetLooseCharBox, raw.FPDFText_HasUnicodeMapError  # three calls a character are what costs
    chars = []
    for index in range(count):
        code = raw.FPDFText_GetUnicode(handle, index)
        if code in (10, 13):  # line ends have no place
            chars.append(Char(chr(code), 0, 0, 0, 0, True, False))
            continue
        look(handle, index, pointer)
        text = chr(code) if code <= 0x10FFFF else REPLACEMENT
        generated = text.isspace() and raw.FPDFText_IsGenerated(handle, index) == 1
        unmapped = not generated and has_error(handle, index) == 1
        chars.append(Char(text, box.left, box.bottom, box.right, box.top, generated, unmapped))
    return chars


def _glyphs(chars: list[Char]) -> list[Char]:
    """The letters of one glyph together, as of a ligature: they share their box.

    Within text that runs from right to left PDFium turns them around. Where most glyphs are a letter twice, each was painted
    twice at one place.
    """
    glyphs: list[Char] = []
    for same, group in itertools.groupby(
        chars, key=lambda char: (char.left, char.bottom, char.right, char.top, char.generated)
    ):
        members = list(group)
        if same[-1] or same[0] == same[2] or len(members) == 1:
            glyphs += members
            continue
        text = "".join(member.text for member in members)
        text = text[::-1] if RIGHT_TO_LEFT.search(text) else text
        glyphs.append(members[0]._replace(text=text, unmapped=any(member.unmapped for member in members)))
    letters = [glyph for glyph in glyphs if not glyph.text.isspace()]
    if sum(map(_is_twice, letters)) * 2 > len(letters):
        return [glyph._replace(text=glyph.text[0]) if _is_twice(glyph) else glyph for glyph in glyphs]
    return glyphs


def _is_twice(glyph: Char) -> bool:
    return len(glyph.text) == 2 and glyph.text[0] == glyph.text[1]


def _on_page(chars: list[Char], page: tuple[float, ...]) -> list[Char]:
    left, bottom, right, top = page
    return [
        c
        for c in chars
        if c.generated
        or (left <= (c.left + c.right) / 2 <= right and bottom <= (c.bottom + c.top) / 2 <= top)
        or c.left == c.right == c.bottom == c.top == 0  # it has no place
    ]


def _once(chars: list[Char]) -> list[Char]:
    """Without what is painted a second time at the same place; spaces and line ends where some was are made anew."""
    places: dict[tuple[str, float, float], list[Char]] = {}
    kept: list[Char] = []
    was_dropped = False
    for char in chars:
        if char.generated:
            if not was_dropped:
                kept.append(char)
            continue
        reach = max(SAME_PLACE * char.height, 0.01)
        cell = 4 * reach
        columns = {(char.left - reach) // cell, (char.left + reach) // cell}
        rows = {(char.bottom - reach) // cell, (char.bottom + reach) // cell}
        is_there = any(
            abs(other.left - char.left) < reach and abs(other.bottom - char.bottom) < reach
            for column in columns
            for row in rows
            for other in places.get((char.text, column, row), ())
        )
        if is_there and char.right != char.left:
            was_dropped = True
            continue
        if was_dropped:
            kept = _spaced(kept, char)
            was_dropped = False
        places.setdefault((char.text, char.left // cell, char.bottom // cell), []).append(char)
        kept.append(char)
    return kept


def _level(chars: list[Char]) -> list[Char]:
    """Without the line ends around what is raised or lowered on its line."""
    kept: list[Char] = []
    for char in chars:
        if not char.generated and len(kept) > 1 and kept[-1].text in "\r\n":
            at = len(kept)
            while at and kept[at - 1].text in "\r\n":
                at -= 1
            if at and not kept[at - 1].text.isspace() and goes_on(kept[at - 1], char):
                last = kept[at - 1]
                del kept[at:]
                if char.left - last.right > SPACE_GAP * min(last.height, char.height):
                    kept.append(Char(" ", last.right, last.bottom, char.left, last.top, True, False))
        kept.append(char)
    return kept


def _raised(chars: list[Char]) -> list[Char]:
    """With digits that are raised or lowered behind a digit as such digits: 10 to the power of 2 is no 102, nor is the mark
    of a note a part of the figure that it follows."""
    kept: list[Char] = []
    base: Char | None = None
    for char in chars:
        if base is not None and char.text in ASCII_DIGITS and char.height < SMALLER * base.height:
            shapes = SUPERSCRIPTS if char.bottom + char.top > base.bottom + base.top else SUBSCRIPTS
            kept.append(char._replace(text=shapes[int(char.text)]))
            continue
        base = char if char.text in ASCII_DIGITS else None
        kept.append(char)
    return kept


def _spaced(kept: list[Char], char: Char) -> list[Char]:
    """What stands between the last painted character and this one, by their places."""
    while kept and kept[-1].generated:
        kept.pop()
    if not kept:
        return kept
    last = kept[-1]
    on_line = min(last.top, char.top) - max(last.bottom, char.bottom) > 0.5 * min(last.height, char.height)
    if not on_line or char.left < last.left:
        return [*kept, Char("\n", 0, 0, 0, 0, True, False)]
    is_apart = char.left - last.right > SPACE_GAP * char.height and not (last.text.isspace() or char.text.isspace())
    return [*kept, Char(" ", last.right, last.bottom, char.left, last.top, True, False)] if is_apart else kept


def _split(chars: Iterable[Char]) -> Iterable[list[Char]]:
    """Lines of characters; a hyphen that PDFium marks ends its line."""
    line: list[Char] = []
    for char in chars:
        if char.text in "\r\n":
            if line:
                yield line
            line = []
        elif char.text == LINE_BREAK_HYPHEN and not char.unmapped:
            yield [*line, Char("-", char.left, char.bottom, char.right, char.top, False, False)]
            line = []
        else:
            line.append(char)
    if line:
        yield line


def _read(line: list[Char]) -> list[Char]:
    """A line in the order in which it is read, where some of it runs from right to left."""
    solid = [char for char in line if not (char.text.isspace() and (char.generated or char.left == char.right))]
    if not any(RIGHT_TO_LEFT.search(char.text) for char in solid) or not _is_level(solid):
        return line
    placed = [*solid, *_gaps(solid)]
    order = in_reading_order([(char.text, char.left, char.right) for char in placed])
    return [placed[number]._replace(text=text) for number, text in order] if order is not None else line


def _gaps(chars: Sequence[Char]) -> Iterable[Char]:
    """Spaces where glyphs of a line stand apart and have none."""
    for before, after in itertools.pairwise(sorted(chars, key=lambda char: char.left + char.right)):
        if after.left - before.right > SPACE_GAP * after.height and not (before.text.isspace() or after.text.isspace()):
            yield Char(" ", before.right, after.bottom, after.left, after.top, True, False)


def _is_level(chars: Sequence[Char]) -> bool:
    """Whether all stand on one line across the page."""
    lowest = max(char.bottom for char in chars)
    return all(char.top > lowest and char.right >= char.left for char in chars)


def _line(chars: list[Char]) -> Line:
    """A line of text in pieces that stand apart."""
    pieces: list[tuple[float, float, str]] = []
    solid = [char for char in chars if not char.text.isspace()]
    if not solid:
        return Line((), 0.0, 0.0)
    bottom, height = min(char.bottom for char in solid), max(char.height for char in solid)
    text, left, right = "", solid[0].left, solid[0].left
    for char in chars:
        shown = REPLACEMENT if char.unmapped or char.text == "\0" else char.text
        if not char.text.isspace():
            if text.strip() and char.left - right > WIDE_GAP * char.height:
                pieces.append((left, right, text.strip()))
                text, left = "", char.left
            right = max(right, char.right)
        text += shown
    pieces.append((left, right, text.strip()))
    return Line(tuple(pieces), bottom, height)


def _runs(chars: Sequence[Char]) -> Iterable[str]:
    for is_unmapped, run in itertools.groupby(chars, key=lambda char: char.unmapped):
        if is_unmapped and (text := "".join(char.text for char in run).strip()):
            yield text
