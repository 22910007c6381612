"""The order in which a line is read whose letters run from right to left, with words and figures from left to right in it.

PDFium hands such lines over by its own rules, which part words and figures that belong together (a year behind a hyphen, two
Latin words). This is the Unicode Bidirectional Algorithm turned around: from what stands from left to right, by its places, to
what is read. Knows only texts and places.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence

Placed = tuple[str, float, float]  # text, left, right; in points
SEPARATORS = frozenset(".,:/-\u2013\u066b\u066c\u060c")  # between two digits they are part of a figure
BESIDE = frozenset("%$\u20ac\u00a3\u20aa#\u00b0\u066a+\u2212-")  # beside a figure they are part of it
MIRRORED = dict(zip("()[]{}<>\u00ab\u00bb\u2039\u203a", ")(][}{><\u00bb\u00ab\u203a\u2039", strict=True))
LETTERS = re.compile(r"[^\W\d_]")


def in_reading_order(glyphs: Sequence[Placed]) -> list[tuple[int, str]] | None:
    """The glyphs' numbers as they are read, and their texts, brackets turned around where they stand in text from the right.

    None for a line that has letters of one direction and no figures: there is nothing to part.
    """
    marks = [number for number, glyph in enumerate(glyphs) if _is_mark(glyph[0])]
    own = [number for number in range(len(glyphs)) if number not in set(marks)]
    kinds = {number: _kind(glyphs[number][0]) for number in own}
    if "R" not in kinds.values() or not {"L", "N", "("} & set(kinds.values()):
        return None
    seen = sorted(own, key=lambda number: glyphs[number][1] + glyphs[number][2])
    levels = _levels([glyphs[number][0] for number in seen], [kinds[number] for number in seen])
    order = list(zip(seen, levels, strict=True))
    for level in (1, 2):
        runs = [(is_deep, list(run)) for is_deep, run in itertools.groupby(order, key=lambda each: each[1] >= level)]
        order = [each for is_deep, run in runs for each in (reversed(run) if is_deep else run)]
    before = {after: number for number, after in itertools.pairwise(own)}
    from_right = {number for number in own if number in before and glyphs[before[number]][1] > glyphs[number][1]}
    carried = _carried(glyphs, own, marks)
    read = []
    for number, level in order:
        text = glyphs[number][0]
        is_turned = number in from_right  # PDFium has turned it around itself
        text = MIRRORED.get(text, text) if (level == 1) != is_turned else text
        read += [(number, text), *((mark, glyphs[mark][0]) for mark in carried.get(number, ()))]
    return read


def _kind(text: str) -> str:
    """R, L: letters from the right, from the left; N: a digit; "(": a bracket; else a space or a sign."""
    direction = unicodedata.bidirectional(text[0])
    if direction in ("R", "AL"):
        return "R"
    if direction in ("EN", "AN") or text[0].isdecimal():
        return "N"
    return "L" if direction == "L" else "(" if text in MIRRORED else " "


def _is_mark(text: str) -> bool:
    return unicodedata.category(text[0]) == "Mn"


def _levels(texts: Sequence[str], kinds: Sequence[str]) -> list[int]:
    """How deep each glyph of the line, from left to right, stands within text of the other direction; odd: from the right."""
    num_right, num_left = kinds.count("R"), kinds.count("L")
    strong = [kind for kind in kinds if kind in "RL"]
    from_right = strong[0] == "R" if strong[0] == strong[-1] else num_right >= num_left
    if from_right:
        return [2 if inside else 1 for inside in _runs(texts, kinds, "L")]
    inside_right = _between(kinds, "R", "RN (")
    figures = _runs(texts, kinds, "")
    return [(2 if figure else 1) if inside else 0 for inside, figure in zip(inside_right, figures, strict=True)]


def _runs(texts: Sequence[str], kinds: Sequence[str], strong: str) -> list[bool]:
    """Which glyphs belong to figures, or to text of `strong` letters and figures that stand among them."""
    inside = [kind == "N" or (strong != "" and kind == strong) for kind in kinds]
    for at in range(1, len(kinds) - 1):
        if texts[at] in SEPARATORS and kinds[at - 1] == kinds[at + 1] == "N":
            inside[at] = True
    for at, text in enumerate(texts):
        following, behind = (kinds[at + 1 : at + 2] or [" "])[0], (kinds[at - 1] if at else " ")
        if text in BESIDE and ("N" in (following, behind)) and "R" not in (following, behind):
            inside[at] = True
    if strong:
        inside = [one or other for one, other in zip(inside, _between(kinds, strong, f"{strong}N ("), strict=True)]
    return inside


def _between(kinds: Sequence[str], strong: str, also: str) -> list[bool]:
    """From the first to the last of these letters in each stretch that holds nothing but what may stand among them; figures
    behind the last of Latin letters are theirs."""
    inside = [False] * len(kinds)
    for is_stretch, numbers in itertools.groupby(range(len(kinds)), key=lambda at: kinds[at] in also):
        stretch = list(numbers)
        ends = [at for at in stretch if kinds[at] == strong]
        if not is_stretch or not ends:
            continue
        last = max(at for at in stretch if kinds[at] in (strong, "N")) if strong == "L" else ends[-1]
        inside[ends[0] : last + 1] = [True] * (last + 1 - ends[0])
    return inside


def _carried(glyphs: Sequence[Placed], own: Sequence[int], marks: Sequence[int]) -> dict[int, list[int]]:
    """The vowel points of each letter, by their places."""
    found: dict[int, list[int]] = {}
    for mark in marks:
        middle = (glyphs[mark][1] + glyphs[mark][2]) / 2
        nearest = min(own, key=lambda number: abs((glyphs[number][1] + glyphs[number][2]) / 2 - middle))
        found.setdefault(nearest, []).append(mark)
    return found
