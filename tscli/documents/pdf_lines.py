"""Lines that a page paints in another order than they are read: filled gaps, from the bottom up.

Knows only lines.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from tscli.documents.columns import Line

FILLS = 1.0  # of a line's height: as near to both of its neighbours stands what was painted into a gap of a line
LEVEL = 0.2  # of a line's height: by so much may it stand higher or lower
FEWEST_STEPS = 3
STEP = 3.0  # of a line's height, at most, from a line to the next one of its block
UPWARDS = 0.8  # of the steps between lines that follow each other: the page was painted from the bottom up


def in_order(lines: Sequence[Line]) -> list[Line]:
    """The lines as they are read."""
    found = _filled(lines)
    solid = [line for line in found if line.pieces]
    return _from_top(solid) if is_upwards([(line.pieces[0][0], line.bottom, line.height) for line in solid]) else found


def is_upwards(places: Sequence[tuple[float, float, float]]) -> bool:
    """Whether lines that follow each other stand above each other; places: left, bottom, height of each."""
    ups = downs = 0
    for (left, bottom, height), (other_left, other_bottom, _) in itertools.pairwise(places):
        if abs(left - other_left) < 2 * height and 0.5 * height < abs(other_bottom - bottom) < STEP * height:
            ups, downs = ups + (other_bottom > bottom), downs + (other_bottom < bottom)
    return ups >= FEWEST_STEPS and ups > UPWARDS * (ups + downs)


def _from_top(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: -line.bottom)


def _filled(lines: Sequence[Line]) -> list[Line]:
    """With lines that exactly fill a gap of an earlier one in their places: words in bold that were painted last."""
    kept, moved = list(lines), set[int]()
    for number, line in enumerate(lines):
        if (at := _gap(kept, line, number)) is not None:
            kept[at] = replace(kept[at], pieces=tuple(sorted((*kept[at].pieces, *line.pieces))))
            kept[number] = replace(line, pieces=())
            moved.add(number)
    return [_closed(line) for number, line in enumerate(kept) if number not in moved]


def _gap(lines: Sequence[Line], line: Line, number: int) -> int | None:
    """The line, not that of this number, between whose pieces this line stands as words do."""
    if len(line.pieces) != 1:
        return None
    (left, right, _), reach = line.pieces[0], FILLS * line.height
    for at, other in enumerate(lines):
        if at != number and len(other.pieces) > 1 and abs(other.bottom - line.bottom) < LEVEL * line.height:
            for start, end in other.free()[1:-1]:
                if -LEVEL * line.height < left - start < reach and -LEVEL * line.height < end - right < reach:
                    return at
    return None


def _closed(line: Line) -> Line:
    """With pieces that stand no further apart than words do as one."""
    pieces = list(line.pieces[:1])
    for left, right, text in line.pieces[1:]:
        if left - pieces[-1][1] < FILLS * line.height:
            pieces[-1] = (pieces[-1][0], right, f"{pieces[-1][2]} {text}")
        else:
            pieces.append((left, right, text))
    return replace(line, pieces=tuple(pieces))
