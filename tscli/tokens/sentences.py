"""Text -> the ranges of its sentences, so that what is quoted begins and ends where a reader would."""

from __future__ import annotations

import re
from itertools import pairwise

SHORTEST, LONGEST = 25, 320  # characters: a heading goes with what it heads, a table is cut into its lines

# Not after initials and titles ("Yara S. Finch", "St. Orla"), nor after dots that lead on ("Master ..... Finch").
_INNER = r"(?<!\b[A-Z]\.)(?<!\b(?:Mr|Ms|Dr|St|No)\.)(?<!\b(?:Mrs|Rev|vol)\.)(?<!\.\.)"
_END = re.compile(rf"(?<=[.!?…]){_INNER}[\"'”’)\]]*\s+|(?<=[。！？])|\n\s*\n|\n(?=\s*(?:[-*•#|>]|\d\d?[.)])\s)")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Ranges [start, end) that cover the text without gaps: sentences, headings with what follows, lines of tables."""
    cuts = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    parts = [part for start, end in _pairs(cuts) for part in _shortened(text, start, end)]
    return _joined(text, parts)


def sentence_end(text: str) -> int:
    """Where the first sentence ends of a text that goes on after it, its space included; 0 while it does not."""
    ends = (match.end() for match in _END.finditer(text) if match.end() < len(text))
    return next((end for end in ends if len(text[:end].strip()) >= SHORTEST), 0)


def _pairs(cuts: list[int]) -> list[tuple[int, int]]:
    return [(start, end) for start, end in pairwise(cuts) if end > start]


def _shortened(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """An endless sentence by its lines, and a line that is still endless by its words."""
    if end - start <= LONGEST:
        return [(start, end)]
    lines = [start, *(place + 1 for place in range(start, end) if text[place] == "\n"), end]
    return [part for line in _pairs(lines) for part in _by_words(text, *line)]


def _by_words(text: str, start: int, end: int) -> list[tuple[int, int]]:
    parts = []
    while end - start > LONGEST:
        space = text.rfind(" ", start + 1, start + LONGEST)
        cut = space + 1 if space > 0 else start + LONGEST
        parts.append((start, cut))
        start = cut
    return [*parts, (start, end)]


def _joined(text: str, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is too short to say anything is joined with what follows; at the end, with what stands before."""
    joined: list[tuple[int, int]] = []
    held: int | None = None
    for start, end in parts:
        first = start if held is None else held
        if len(text[first:end].strip()) < SHORTEST:
            held = first
        else:
            joined.append((first, end))
            held = None
    if held is not None:
        first = joined.pop()[0] if joined else held
        joined.append((first, len(text)))
    return joined
