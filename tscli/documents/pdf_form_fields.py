"""Values of a form's fields put among the lines of its page, where they stand to the eye. Knows only lines and boxes.

A value stands behind its label where its field lies on a label's line and behind it, or over the blanks at its end. All others
(no label on the line, boxes that are ticked, more lines than one) stand on a line of their own, with the field's name.
"""

from __future__ import annotations

from collections.abc import Sequence

from tscli.documents.columns import Line
from tscli.documents.pdf_annotations import Shown

Box = tuple[float, float, float, float]
OVER = 2.0  # of a line's height: what may stand of a label's blanks behind the field


def with_values(lines: Sequence[Line], values: Sequence[Shown]) -> list[Line]:
    """The lines of an upright page with these values, which come from the top down."""
    kept = list(lines)
    own: dict[int, list[Line]] = {}  # behind which line; -1: before all
    for value in values:
        level = _level(lines, value.box) if value.box else []
        at = _label(kept, level, value) if value.box and value.kind != "tick" and "\n" not in value.text else None
        if at is not None and value.box:
            kept[at] = _behind(kept[at], value.box, value.text)
        else:
            anchor = level[-1] if level else _above(lines, value.box)
            own.setdefault(anchor, []).append(_line(value))
    placed = list(own.get(-1, ()))
    for number, line in enumerate(kept):
        placed += [line, *own.get(number, ())]
    return placed


def _level(lines: Sequence[Line], box: Box) -> list[int]:
    """The lines that a box stands on; of a tall box, on its uppermost."""
    _, bottom, _, top = box
    found = [at for at, line in enumerate(lines) if line.pieces and bottom <= line.bottom + line.height / 2 <= top]
    highest = max((lines[at].bottom for at in found), default=0.0)
    return [at for at in found if highest - lines[at].bottom < lines[at].height / 2]


def _label(lines: Sequence[Line], level: Sequence[int], value: Shown) -> int | None:
    """The line whose last piece before the value ends nearest to it; None where the value lies within a piece."""
    assert value.box is not None
    left, _, right, _ = value.box
    ends = []
    for at in level:
        before = [piece for piece in lines[at].pieces if piece[0] < left]
        if before:
            end = max(piece[1] for piece in before)
            if end > left and end > right + OVER * lines[at].height:
                return None
            ends.append((end, at))
    return max(ends)[1] if ends else None


def _behind(line: Line, box: Box, text: str) -> Line:
    before = [piece for piece in line.pieces if piece[0] < box[0]]
    after = [piece for piece in line.pieces if piece[0] >= box[0]]
    return Line((*before, (max(box[0], before[-1][1]), max(box[2], before[-1][1]), text), *after), line.bottom, line.height)


def _above(lines: Sequence[Line], box: Box | None) -> int:
    """The nearest line above a box; -1 where there is none, the last line for what has no place."""
    if box is None:
        return len(lines) - 1
    above = [(line.bottom - box[3], -at) for at, line in enumerate(lines) if line.pieces and line.bottom > box[1]]
    return -min(above)[1] if above else -1


def _line(value: Shown) -> Line:
    left, bottom, right, top = value.box or (0.0, 0.0, 0.0, 0.0)
    return Line(((left, right, value.line),), bottom, top - bottom)
