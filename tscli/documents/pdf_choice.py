"""Which parser's text of a page is taken, and which text is none. Knows only texts.

Measured page by page (tests/harness/pdf_parsers.py, docs/LOG.md): pdfium is right on nearly every page, pypdf on a few of the
others. So the rules are, for each page:

1. pdfium's text is taken where it has no fault. Its order of right-to-left text and of digits in it, its spaces on rotated
   pages and its tables of East Asian encodings are right where pypdf's are not.
2. Where it has one, pypdf reads the page as well. What pdfium could not map to letters is filled in from there, where the same
   characters stand around it; then pypdf's whole text is taken where it has fewer faults (`num_faults`) and not fewer than half
   as many characters. Glyph numbers that pypdf gives just as pdfium does have been mapped to letters by neither.
3. A page is not read at all where more than UNREADABLE of its characters have no letter, or are private use or control
   characters, or names of glyphs ("/g12/g7"): glyph numbers are no text. Neither are they where these stand in place of spaces,
   or where characters are used in the order of their codes from the first printable ones on. Fewer of the former are shown as
   U+FFFD each run, and told.
4. Ligatures, presentation forms and radicals become the letters that they stand for; soft hyphens go. East
   Asian characters that stand below each other, one on a line, become one line.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace

REPLACEMENT = "\ufffd"
UNREADABLE = 0.3
CONTEXT = 8  # characters on either side of one that has no letter
LONGEST_GAP = 4  # characters
MOST_FILLED = 100  # such characters of a page
FEWEST_GLUED = 40  # letters
GLUED = 25  # letters: of the letters of a page, few stand in words as long as this
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]")
BULLETS = re.compile(r"(?m)^(\s*)[\uf0a7\uf0a8\uf0b7\uf0d8\uf06e\uf076](?=\s)")  # those of Symbol and Wingdings
GLYPH_NAMES = re.compile(r"(?:/[A-Za-z]{0,8}\d{1,5}(?:\.\w{1,8})?){4,}")
AS_SPACES = 0.08  # of a page's characters: so many without a letter, and hardly a space, are what parts its words
FIRST_CODES = '!"#$'  # that a font without names of letters begins with
FEWEST_CODES, REUSED = 12, 3  # different characters, and how often each is used in the mean
WORDS = re.compile(r"[^\W\d_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\uffff]+")  # of scripts that part words
# Letters in another shape: Latin, Armenian, Hebrew ligatures, Arabic forms, radicals that stand for characters.
FORMS = re.compile("[\u2f00-\u2fdf\ufb00-\ufb4f\ufb50-\ufd3d\ufd50-\ufdfb\ufe70-\ufefc]+")
STACKED = re.compile(r"(?m)(?:^[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef][ \t]*(?:\n|\Z)){3,}")
SOFT_HYPHEN = "\xad"
SOFT_BREAK = re.compile(r"(?<=[^\W\d_])\xad\n([^\W\d_]\S*)(\n|[ \t]+|\Z)")


@dataclass(frozen=True)
class Candidate:
    """A parser's text of a page, lines divided by \\n.

    unmapped: characters without a letter, by U+FFFD in the text where the parser says which. num_unmapped, num_characters:
    without spaces. has_values: of the page's form, in their places.
    """

    text: str
    unmapped: tuple[str, ...] = ()
    num_unmapped: int = 0
    num_characters: int = 0
    has_values: bool = False


def candidate(text: str, beside: Candidate) -> Candidate:
    """A text by a parser that does not say what it could not map, beside that of one which does, of the same page.

    A character that the other could not map is taken for unmapped here as well as often as this text has more of it.
    """
    raw = Counter("".join("".join(run.split()) for run in beside.unmapped))
    num_unmapped = sum(min(count, max(0, text.count(char) - beside.text.count(char))) for char, count in raw.items())
    return Candidate(text, (), num_unmapped, sum(not char.isspace() for char in text))


def filled(page: Candidate, other: str) -> Candidate:
    """The page with what another text has between the same neighbours, where characters of the page have no letter."""
    if REPLACEMENT not in page.text or page.num_unmapped > MOST_FILLED:
        return page
    solid = "".join(other.split())
    pieces = page.text.split(REPLACEMENT)
    text, num_filled = pieces[0], 0
    for number, piece in enumerate(pieces[1:], start=1):
        before = "".join(pieces[number - 1][-4 * CONTEXT :].split())[-CONTEXT:]
        after = "".join(piece[: 4 * CONTEXT].split())[:CONTEXT]
        between = _between(solid, before, after)
        is_new = bool(between) and between not in page.unmapped and not CONTROLS.search(between)
        text += (between if is_new else REPLACEMENT) + piece
        num_filled += is_new
    return replace(page, text=text, num_unmapped=max(0, page.num_unmapped - num_filled))


def _between(text: str, before: str, after: str) -> str:
    """What stands between the two, where that is plain; else nothing."""
    at = text.find(before)
    if len(before) + len(after) < CONTEXT or at < 0 or text.find(before, at + 1) >= 0:
        return ""
    start = at + len(before)
    end = text.find(after, start) if after else -1
    return text[start:end] if start < end <= start + LONGEST_GAP else ""


def num_faults(page: Candidate) -> int:
    """How many characters of a text are probably none, or stand where words should be parted."""
    return _num_lost(page) + _num_glued(page.text)


def choose(pdfium: Candidate, pypdf: Candidate) -> Candidate:
    """The one with fewer faults, by rule 2."""
    enough = sum(not char.isspace() for char in pypdf.text) * 2 >= sum(not char.isspace() for char in pdfium.text)
    return pypdf if enough and num_faults(pypdf) < num_faults(pdfium) else pdfium


def is_readable(page: Candidate) -> bool:
    """Whether the page's text is one, by rule 3."""
    if _num_lost(page) > UNREADABLE * max(page.num_characters, 1) or _is_numbered(page.text):
        return False
    letters = sum(map(len, WORDS.findall(page.text)))
    num_lost = _num_lost(page)
    are_few = num_lost <= AS_SPACES * page.num_characters or num_lost < 2 * page.text.count(" ")
    return are_few or 2 * letters < page.num_characters


def _is_numbered(text: str) -> bool:
    """Whether the characters are numbers that were given to glyphs as the page first used them."""
    solid = "".join(text.split())
    first = list(dict.fromkeys(solid))
    if len(first) < FEWEST_CODES or len(solid) < REUSED * len(first) or first[0] not in FIRST_CODES:
        return False
    return sum(ord(after) - ord(before) == 1 for before, after in itertools.pairwise(first)) > 0.8 * len(first)


def tidy(page: Candidate) -> tuple[str, int]:
    """A readable page's text by rules 3 and 4, and how many characters of it have no letter."""
    text = BULLETS.sub("\\1\u2022", page.text)
    num_lost = _num_lost(Candidate(text, num_unmapped=page.num_unmapped))
    text = re.sub(f"(?:{CONTROLS.pattern}|{PRIVATE.pattern}|{GLYPH_NAMES.pattern}|{REPLACEMENT})+", REPLACEMENT, text)
    text = FORMS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    text = SOFT_BREAK.sub(lambda found: found[1] + ("\n" if found[2] else ""), text)
    text = STACKED.sub(lambda found: "".join(found[0].split()) + "\n", text)
    return text.replace(SOFT_HYPHEN, ""), num_lost


def _num_lost(page: Candidate) -> int:
    """Characters without a letter; those of the font that are shown as U+FFFD are counted once."""
    others = len(CONTROLS.findall(page.text)) + len(PRIVATE.findall(page.text)) + page.text.count(REPLACEMENT)
    others += sum(map(len, GLYPH_NAMES.findall(page.text)))
    return others if not page.num_unmapped else max(page.num_unmapped, others)


def _num_glued(text: str) -> int:
    """Letters in words that are too long for any, where they are most of what the page has."""
    words = WORDS.findall(text)
    letters = sum(map(len, words))
    glued = sum(len(word) for word in words if len(word) > GLUED)
    return glued if letters >= FEWEST_GLUED and glued * 4 > letters else 0
