"""Presentations (pptx, pptm) to text, a slide at a time, with the speaker's notes. Runs in the worker process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tscli.documents.package import AGAIN, Event, Package, Unreadable, without

MAIN = "ppt/presentation.xml"
UNSEEN = frozenset({"Fallback", "extLst"})
# Boxes that hold what every slide repeats; notes pages repeat the slide beside it.
REPEATED = frozenset({"sldNum", "sldImg", "dt", "ftr", "hdr"})
SHAPES = frozenset({"sp", "pic", "graphicFrame", "cxnSp"})
BAR = " | "


class Slides:
    """An open presentation."""

    def __init__(self, package: Package) -> None:
        """Find the slides, in their order. Raises Unreadable where there are none."""
        self._package = package
        self._parts = _in_order(package)
        self.count = len(self._parts)
        self.labels = tuple(f"slide {number}" for number in range(1, self.count + 1))
        hidden = [number for number, part in enumerate(self._parts, start=1) if _is_hidden(package, part)]
        shown = ", ".join(map(str, hidden[:20]))
        self.warnings = (f"hidden in the slide show, but read: slide {shown}",) if hidden else ()
        if not self._parts:
            raise Unreadable(f"holds no slides: it is not a presentation, or is incomplete; {AGAIN}")

    def text(self, index: int) -> str:
        """The words of a slide (0-based) in the order of its boxes, then its charts, then the notes."""
        part = self._parts[index]
        lines = shape_lines(self._package.events(part))
        notes: list[str] = []
        for kind, name in self._package.relations(part).values():
            if name not in self._package:
                continue
            if kind == "notesSlide":
                notes = shape_lines(self._package.events(name))
            elif kind == "diagramData":
                lines += shape_lines(self._package.events(name))
            elif kind == "chart":
                lines += _chart(self._package.events(name))
        return "\n".join([*lines, *(["", "Notes:", *notes] if notes else [])])


def _is_hidden(package: Package, part: str) -> bool:
    try:
        root = next(event for event in package.events(part) if event.kind == "start")
    except (Unreadable, StopIteration):  # reading it says why
        return False
    return root.attributes.get("show") in ("0", "false")


def _in_order(package: Package) -> list[str]:
    """The slides as the presentation lists them; where that list is damaged, by the numbers in their names."""
    slides = [name for name in package.names if re.fullmatch(r"ppt/slides/[^/]+\.xml", name)]
    by_number = sorted(slides, key=lambda name: [int(part) if part.isdigit() else 0 for part in re.findall(r"\d+|\D+", name)])
    if MAIN not in package:
        return by_number
    relations = package.relations(MAIN)
    listed = []
    for event in package.events(MAIN):
        if event.kind == "start" and event.name == "sldId":
            relation = event.attributes.get(":id", event.attributes.get("id", ""))  # r:id, beside an id of the slide's own
            listed.append(relations.get(relation, ("", ""))[1])
    listed = [name for name in listed if name in package]
    return listed or by_number


def shape_lines(events: Iterable[Event]) -> list[str]:
    """The paragraphs and table rows of shapes, an empty line between boxes."""
    lines, words, cells = list[str](), list[str](), list[str]()
    box = list[str]()  # of one shape, which may turn out to be one that repeats
    text = repeats = in_table = False
    for event in without(iter(events), lambda start: start.name in UNSEEN):
        match event.kind, event.name:
            case "text", _ if text:
                words.append(event.text)
            case "start", "t":
                text = True
            case "end", "t":
                text = False
            case "start", "br":
                words.append("\n")
            case "start", "ph":
                repeats = event.attributes.get("type") in REPEATED
            case "start", "cNvPr" if event.attributes.get("descr", "").strip():
                box.append(event.attributes["descr"].strip())
            case "start", "tr":
                in_table, cells = True, []
            case "end", "p" | "pt" if words:
                box.append("".join(words).strip())
                words = []
            case "end", "tc" if in_table:
                cells.append(" ".join(" ".join(box).split()))
                box = []
            case "end", "tr" if in_table:
                lines.append(BAR.join(cells).rstrip(BAR))
                in_table = False
            case "end", name if name in SHAPES:
                shown = [] if repeats else [line for line in box if line]
                lines += ["", *shown] if shown and lines else shown
                box, repeats = [], False
    rest = ["".join(words).strip(), *box]
    return [*lines, *(line for line in rest if line)]


def drawn_lines(package: Package, part: str) -> list[str]:
    """The words of the boxes and charts that a drawing has, as on a workbook's sheet."""
    lines = shape_lines(package.events(part))
    for kind, name in package.relations(part).values():
        if kind == "chart" and name in package:
            lines += _chart(package.events(name))
    return lines


def _chart(events: Iterator[Event]) -> list[str]:
    """A chart's title, and each of its series with the values that it draws."""
    title, series = list[str](), list[list[str]]()
    text = value = False
    for event in events:
        match event.kind, event.name:
            case "start", "t":
                text = True
            case "end", "t":
                text = False
            case "start", "v":
                value = True
            case "end", "v":
                value = False
            case "start", "ser" | "cat" | "val" | "xVal" | "yVal":
                series.append([])
            case "text", _ if text:
                title.append(event.text)
            case "text", _ if value and series:
                series[-1].append(event.text)
    return [*([" ".join(title)] if title else []), *(BAR.join(values) for values in series if values)]
