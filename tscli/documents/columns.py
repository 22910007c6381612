"""Lines that a page paints across its columns are read column by column; tables stay as they are. Knows only lines.

A block of lines has columns where an empty strip, as wide as most of a line's height, runs down through all of it, and at least
three of its lines go on beyond the strip. It is prose in columns, and not a table, where in every column the lines run on: from
one to the next without a full stop and with a small letter, and with some words in each. Scripts without small letters run on
where lines fill their column.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GUTTER = 0.8  # of the lines' height, the least width of the strip between columns
PITCH = 2.5  # of a line's height: lines further apart than this are of different blocks
FEWEST_ROWS = 3
FEWEST_WORDS = 2.5  # on a line of a column, in the mean
RUNS_ON = 0.4  # of the steps from line to line, in the mean over columns; half of that in each
FILLED = 0.8  # of the widest line: where there are no small letters


@dataclass(frozen=True)
class Line:
    """Pieces of text that stand apart on one line: left, right, text; bottom and height in points."""

    pieces: tuple[tuple[float, float, str], ...]
    bottom: float
    height: float

    @property
    def text(self) -> str:
        """The whole line."""
        return " ".join(text for _, _, text in self.pieces)

    def free(self) -> list[tuple[float, float]]:
        """The horizontal intervals where nothing stands."""
        edges = [-math.inf, *itertools.chain.from_iterable((left, right) for left, right, _ in sorted(self.pieces)), math.inf]
        return list(zip(edges[::2], edges[1::2], strict=True))


def in_columns(lines: Sequence[Line]) -> list[str]:
    """The lines' texts, those of a block in columns one column after the other."""
    texts: list[str] = []
    at = 0
    while at < len(lines):
        end, strips = _block(lines, at)
        columns = _columns(lines[at:end], strips)
        if len(columns) > 1 and _is_prose(columns):
            texts += [text for column in columns for _, _, text in column]
            at = end
        else:
            texts.append(lines[at].text)
            at += 1
    return texts


def _block(lines: Sequence[Line], start: int) -> tuple[int, list[tuple[float, float]]]:
    """Where the longest block that begins here ends, and the strips that run through it."""
    best: tuple[int, list[tuple[float, float]]] = (start + 1, [])
    for gap in _gaps(lines, start):
        end, strip = _grown(lines, start, gap)
        if end > best[0]:
            best = (end, [strip])
        elif end == best[0] and end > start + 1:
            best[1].append(strip)
    return best


def _gaps(lines: Sequence[Line], start: int) -> Iterator[tuple[float, float]]:
    """Strips that a block may have by its first line, or by its first two where they stand beside each other."""
    first = lines[start]
    yield from (gap for gap in first.free()[1:-1] if gap[1] - gap[0] > GUTTER * first.height)
    if len(first.pieces) == 1 and start + 1 < len(lines) and len(lines[start + 1].pieces) == 1:
        (left, right, _), (other_left, other_right, _) = first.pieces[0], lines[start + 1].pieces[0]
        if abs(first.bottom - lines[start + 1].bottom) < 1.5 * first.height:
            if other_left > right:
                yield right, other_left
            elif left > other_right:
                yield other_right, left


def _grown(lines: Sequence[Line], start: int, strip: tuple[float, float]) -> tuple[int, tuple[float, float]]:
    """As far as the strip goes on, becoming narrower; and what is left of it."""
    end = start + 1
    while end < len(lines):
        line, last = lines[end], lines[end - 1]
        common = [(max(strip[0], left), min(strip[1], right)) for left, right in line.free()]
        widest = max(common, key=lambda gap: gap[1] - gap[0])
        if (
            widest[1] - widest[0] < GUTTER * line.height
            or not -0.5 * line.height < last.bottom - line.bottom < PITCH * line.height
        ):
            break
        strip = widest
        end += 1
    return end, strip


def _columns(lines: Sequence[Line], strips: Sequence[tuple[float, float]]) -> list[list[tuple[float, float, str]]]:
    """The pieces of each column; none where too few lines go on beyond a strip."""
    middles = sorted((left + right) / 2 for left, right in strips)
    columns: list[list[tuple[float, float, str]]] = [[] for _ in range(len(middles) + 1)]
    switches = 0
    last = None
    for line in lines:
        for number, pieces in itertools.groupby(line.pieces, key=lambda piece: sum(piece[0] > middle for middle in middles)):
            joined = list(pieces)
            columns[number].append((joined[0][0], joined[-1][1], " ".join(text for _, _, text in joined)))
            switches += last is not None and number != last
            last = number
    # Columns that were painted one after the other switch once each; those painted by rows, on every line.
    return columns if switches >= 2 * FEWEST_ROWS - 1 else []


def _is_prose(columns: Sequence[Sequence[tuple[float, float, str]]]) -> bool:
    shares = [_runs_on(column) for column in columns]
    return min(shares) >= RUNS_ON / 2 and sum(shares) / len(shares) >= RUNS_ON


def _runs_on(column: Sequence[tuple[float, float, str]]) -> float:
    """The share of the steps between lines over which a sentence seems to go on; 0 for what has no lines of words."""
    texts = [text for _, _, text in column]
    if len(texts) < FEWEST_ROWS:
        return 0.0
    if not any(char.islower() or char.isupper() for text in texts for char in text):
        widest = max(right - left for left, right, _ in column)
        filled = sum(right - left >= FILLED * widest for left, right, _ in column)
        return filled / len(column) if sum(map(len, texts)) >= 8 * len(texts) else 0.0
    if sum(len(text.split()) for text in texts) < FEWEST_WORDS * len(texts):
        return 0.0
    steps = list(itertools.pairwise(texts))
    return sum(after[0].islower() and before[-1] not in ".!?:;" for before, after in steps) / len(steps)
