"""What a viewer calls the pages of a PDF: "ii", "A-3", by its tree of page labels. Knows nothing of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader

MOST_RANGES = 10_000  # of pages that are numbered alike
DEEPEST = 32
LARGEST = 4000  # numbers above it are written in digits: hostile files count in long Roman numbers
ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"),
    (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


def page_labels(reader: PdfReader, count: int) -> tuple[str, ...]:
    """A label for each of `count` pages; empty where the file has none, or only the pages' own numbers.

    Raises what pypdf raises on a broken tree.
    """
    tree = reader.root_object.get("/PageLabels")
    if tree is None or count < 1:
        return ()
    ranges = sorted(_ranges(tree.get_object(), [MOST_RANGES], 0), key=lambda pair: pair[0])
    starts = [start for start, _ in ranges]
    labels = [str(number) for number in range(1, count + 1)]
    for (start, rule), end in zip(ranges, [*starts[1:], count], strict=True):
        first = int(rule.get("/St", 1))
        prefix, style = str(rule.get("/P", "")), rule.get("/S")
        for index in range(max(start, 0), min(end, count)):
            labels[index] = " ".join(f"{prefix}{_number(first + index - start, style)}".split()) or labels[index]
    return tuple(labels) if any(label != str(number) for number, label in enumerate(labels, start=1)) else ()


def _ranges(node: Any, left: list[int], depth: int) -> Iterator[tuple[int, Any]]:
    """Index of a first page, and how from there on pages are numbered; `left` more of them at most."""
    numbers = node.get("/Nums")
    numbers = numbers.get_object() if numbers is not None else []
    for start, rule in zip(numbers[::2], numbers[1::2], strict=False):
        left[0] -= 1
        if left[0] < 0:
            return
        yield int(start), rule.get_object()
    if depth < DEEPEST:
        kids = node.get("/Kids")
        for kid in kids.get_object() if kids is not None else ():
            left[0] -= 1
            if left[0] < 0:
                return
            yield from _ranges(kid.get_object(), left, depth + 1)


def _number(number: int, style: str | None) -> str:
    if style is None:
        return ""
    if style not in ("/R", "/r", "/A", "/a") or not 0 < number <= LARGEST:
        return str(number)
    text = _roman(number) if style in ("/R", "/r") else chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
    return text.upper() if style in ("/R", "/A") else text


def _roman(number: int) -> str:
    text = ""
    for value, letters in ROMAN:
        text += letters * (number // value)
        number %= value
    return text
