"""What PDFium finds on a page; whatever does not stand as lines of text do is mended by its place, see `pdf_glyphs`.

Most pages need no mending, and their characters are not looked at one by one. Knows nothing of files and of other parsers.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import re
from collections.abc import Sequence

import pypdfium2
from pypdfium2 import raw

from tscli.documents.pdf_annotations import Shown
from tscli.documents.pdf_choice import Candidate
from tscli.documents.pdf_glyphs import LINE_BREAK_HYPHEN, RIGHT_TO_LEFT, WIDE_GAP, Char, goes_on, mended
from tscli.documents.pdf_lines import is_upwards

UNKNOWN = "\ufffe"  # as PDFium's whole text shows both that mark and a NUL
OVERLAP = 0.5  # of the smaller of two rectangles of text
REPEATED_SHARE = 0.12  # of neighbouring letters that are equal; in no language are there so many
REPEATED = re.compile(r"([^\W_])(?=\1)")
GAP = re.compile(r"(?<=[^\s\x02])(?: |\r\n)(?=[^\s\x02])")
MOST_RECTS = 2000  # more than that are not compared with each other


def read_painted(page: pypdfium2.PdfPage, values: Sequence[Shown] = ()) -> Candidate:
    """The text of a page by PDFium, mended where that is needed. Turns a page whose text does not stand upright.

    values: of its form, for their places in the text; pages that are turned have none.
    """
    textpage = page.get_textpage()
    try:
        if turn := _turned_by(textpage, page):  # PDFium would read its lines from the right, or the last one first
            textpage.close()
            page.set_rotation((page.get_rotation() - turn) % 360)
            textpage = page.get_textpage()
        text, count = str(textpage.get_text_range()), textpage.count_chars()
        if count <= 0:
            return Candidate("")
        values = () if page.get_rotation() else values
        if len(text) == count and not values:
            text = _with_marks(text, textpage)
            if "\0" not in text and not _needs_mending(textpage, page, text):
                return Candidate(_lines(text), num_characters=count - sum(map(str.isspace, text)))
        return mended(textpage, count, page.get_bbox(), values)
    finally:
        textpage.close()


def _turned_by(textpage: pypdfium2.PdfTextPage, page: pypdfium2.PdfPage) -> int:
    """By how many degrees, clockwise, most of a few characters stand on the page as it is shown: 0, 90, 180 or 270."""
    count = textpage.count_chars()
    angles = [math.degrees(raw.FPDFText_GetCharAngle(textpage.raw, count * part // 8)) for part in range(1, 8, 2)]
    quarters = [round((angle + page.get_rotation()) / 90) % 4 for angle in angles if abs((angle + 45) % 90 - 45) < 20]
    turn = max(set(quarters), key=quarters.count, default=0)
    return 90 * turn if count > 0 and quarters.count(turn) > 2 else 0


def _with_marks(text: str, textpage: pypdfium2.PdfTextPage) -> str:
    """With the characters in place of what the whole text shows alike."""
    if UNKNOWN not in text:
        return text
    codes = {at.start(): raw.FPDFText_GetUnicode(textpage.raw, at.start()) for at in re.finditer(UNKNOWN, text)}
    return "".join(chr(min(codes[index], 0xFFFD)) if index in codes else char for index, char in enumerate(text))


def _needs_mending(textpage: pypdfium2.PdfTextPage, page: pypdfium2.PdfPage, text: str) -> bool:
    """Whether the characters must be looked at: some have no letter, stand twice, off the page, or across wide gaps."""
    has_error, handle = raw.FPDFText_HasUnicodeMapError, textpage.raw
    if any(map(has_error, itertools.repeat(handle), range(len(text)))):
        return True
    if RIGHT_TO_LEFT.search(text) or _repeats(text) or _is_uneven(textpage, text):
        return True
    rects = [textpage.get_rect(index) for index in range(min(textpage.count_rects(), MOST_RECTS))]
    left, bottom, right, top = page.get_bbox()
    if is_upwards([(rect[0], rect[1], rect[3] - rect[1]) for rect in rects]):
        return True
    return _overlap(rects) or any(r[2] < left or r[0] > right or r[3] < bottom or r[1] > top for r in rects)


def _repeats(text: str) -> bool:
    for line in text.splitlines():
        num_repeated = len(REPEATED.findall(line))
        if num_repeated and num_repeated > REPEATED_SHARE * (sum(map(str.isalnum, line)) - 1):  # few lines come so far
            num_pairs = sum(first.isalnum() or second.isalnum() for first, second in itertools.pairwise(line))
            if num_pairs >= 6 and num_repeated > REPEATED_SHARE * num_pairs:
                return True
    return False


def _is_uneven(textpage: pypdfium2.PdfTextPage, text: str) -> bool:
    """Whether words of a line stand apart by more than words do, or a line goes on behind its end, raised or lowered."""
    first, second, handle, look = raw.FS_RECTF(), raw.FS_RECTF(), textpage.raw, raw.FPDFText_GetLooseCharBox
    before, after = ctypes.byref(first), ctypes.byref(second)
    for found in GAP.finditer(text):
        start, end = found.span()
        look(handle, start - 1, before)
        look(handle, end, after)
        if end - start == 1:  # a space
            height = first.top - first.bottom
            if second.left - first.right > WIDE_GAP * height and abs(second.bottom - first.bottom) < height:
                return True
        elif goes_on(_char(first), _char(second)):
            return True
    return False


def _char(box: raw.FS_RECTF) -> Char:
    return Char("", box.left, box.bottom, box.right, box.top, False, False)


def _overlap(rects: Sequence[tuple[float, ...]]) -> bool:
    """Whether two of these (left, bottom, right, top) cover each other by half of the smaller."""
    ordered = sorted(rects, key=lambda rect: rect[1])
    for number, (left, bottom, right, top) in enumerate(ordered):
        for other in ordered[number + 1 :]:
            if other[1] >= top:
                break
            width, height = min(right, other[2]) - max(left, other[0]), min(top, other[3]) - max(bottom, other[1])
            if width > 0 and height > 0:
                smaller = min((right - left) * (top - bottom), (other[2] - other[0]) * (other[3] - other[1]))
                if width * height > OVERLAP * smaller:
                    return True
    return False


def _lines(text: str) -> str:
    """PDFium's text with line ends of one kind, and with the line ends that it leaves out behind hyphens."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace(LINE_BREAK_HYPHEN, "-\n")
