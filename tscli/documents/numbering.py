"""The numbers that Word draws in front of paragraphs: of lists and of headings such as 4.2. Runs in the worker process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tscli.documents.package import Package

NUM_LEVELS = 9
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# fmt: off
ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"),
    (5, "v"), (4, "iv"), (1, "i"),
)
# fmt: on


@dataclass
class Level:
    """How one depth of a list is numbered; text: with %1 for the number of the first depth, and so on."""

    start: int = 1
    form: str = "decimal"
    text: str = ""
    style: str = ""


@dataclass
class Numbering:
    """Which lists there are, and how far each has counted.

    lists: id of a list -> (id of its kind, starts of its own by depth). styles: paragraph style -> (its base, list, depth).
    """

    kinds: dict[str, dict[int, Level]] = field(default_factory=dict)
    lists: dict[str, tuple[str, dict[int, int]]] = field(default_factory=dict)
    styles: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    counts: dict[str, dict[int, int]] = field(default_factory=dict)
    begun: set[tuple[str, int]] = field(default_factory=set)

    def next(self, style: str, number: str | None, level: str) -> str:
        """The number of the next paragraph, with a space behind it; "" where Word draws none, or a bullet."""
        if number is None:
            number, level = self._of_style(style)
        kind, starts = self.lists.get(number or "", ("", {}))
        levels = self.kinds.get(kind, {})
        depth = int(level) if level.isdigit() else 0
        if depth not in levels:
            return ""
        if number and (number, depth) not in self.begun:
            self.begun.add((number, depth))
            if depth in starts:
                self.counts.setdefault(kind, {}).pop(depth, None)
        counts = self.counts.setdefault(kind, {})
        counts[depth] = counts.get(depth, starts.get(depth, levels[depth].start) - 1) + 1
        for deeper in range(depth + 1, NUM_LEVELS):
            counts.pop(deeper, None)
        return self._written(levels, counts, depth)

    def _written(self, levels: Mapping[int, Level], counts: Mapping[int, int], depth: int) -> str:
        if levels[depth].form in ("bullet", "none"):
            return ""
        text = levels[depth].text
        for above in range(depth + 1):
            form, start = (levels[above].form, levels[above].start) if above in levels else ("decimal", 1)
            text = text.replace(f"%{above + 1}", written(counts.get(above, start), form))
        return f"{text} " if text.strip() else ""

    def _of_style(self, style: str) -> tuple[str, str]:
        seen = set[str]()
        while style in self.styles and style not in seen:
            seen.add(style)
            base, number, level = self.styles[style]
            if number:
                kind = self.kinds.get(self.lists.get(number, ("", {}))[0], {})
                linked = [str(depth) for depth, known in kind.items() if known.style == style]
                return number, level or (linked[0] if linked else "0")
            style = base
        return "", "0"


def written(number: int, form: str) -> str:
    """A number as a list writes it: decimal, lowerLetter, upperRoman and so on."""
    if form.endswith("Letter") and number > 0:
        text = LETTERS[(number - 1) % 26] * ((number - 1) // 26 + 1)
    elif form.endswith("Roman") and 0 < number < 4000:
        text = ""
        for value, letters in ROMAN:
            text += letters * (number // value)
            number %= value
    else:
        return f"{number:02}" if form == "decimalZero" else str(number)
    return text.upper() if form.startswith("upper") else text


def read_numbering(package: Package, parts: Mapping[str, Sequence[str]]) -> Numbering:
    """The lists of a document and the styles that belong to them; parts: names by the kind of their relation."""
    found = Numbering()
    for name in parts.get("numbering", ()):
        _read_lists(package, name, found)
    for name in parts.get("styles", ()):
        _read_styles(package, name, found)
    return found


def _read_lists(package: Package, name: str, found: Numbering) -> None:
    kind = number = ""
    level = Level()
    depth = 0
    for event in package.events(name):
        value = event.attributes.get("val", "")
        match event.kind, event.name:
            case "start", "abstractNum":
                kind, number = event.attributes.get("abstractNumId", ""), ""
                found.kinds[kind] = {}
            case "start", "num":
                number = event.attributes.get("numId", "")
            case "start", "abstractNumId" if number:
                found.lists[number] = (value, {})
            case "start", "lvl" | "lvlOverride":
                depth = _count(event.attributes.get("ilvl", ""), 0)
                level = Level()
                if event.name == "lvl" and not number:
                    found.kinds.setdefault(kind, {})[depth] = level
            case "start", "startOverride" if number in found.lists:
                found.lists[number][1][depth] = _count(value, 1)
            case "start", "start":
                level.start = _count(value, 1)
            case "start", "numFmt":
                level.form = value
            case "start", "lvlText":
                level.text = value
            case "start", "pStyle":
                level.style = value


def _read_styles(package: Package, name: str, found: Numbering) -> None:
    style = base = number = level = ""
    for event in package.events(name):
        value = event.attributes.get("val", "")
        match event.kind, event.name:
            case "start", "style":
                style, base, number, level = event.attributes.get("styleId", ""), "", "", ""
            case "start", "basedOn":
                base = value
            case "start", "numId":
                number = value
            case "start", "ilvl":
                level = value
            case "end", "style":
                found.styles[style] = (base, number, level)


def _count(text: str, default: int) -> int:
    return int(text) if text.isdigit() and len(text) < 9 else default
