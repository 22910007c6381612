"""Word documents (docx, docm) to text: paragraphs with their numbers, tables row by row, text boxes, notes, comments.

What Word does not show stays out: deleted and hidden text, the codes of fields. Runs in the worker process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tscli.documents.numbering import Numbering, read_numbering
from tscli.documents.package import AGAIN, Event, Package, Unreadable, without

MAIN = "word/document.xml"
# moveFrom: text that was moved away; Fallback: the second form of what is there already; the rest: settings with words in them.
UNSEEN = frozenset(
    {"moveFrom", "Fallback", "sectPr", "tblPr", "tabs", "instrText", "delText", "ffData", "pPrChange", "rPrChange"}
)
SEPARATORS = ("separator", "continuationSeparator", "continuationNotice")
RAISED = str.maketrans("0123456789+-n", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207f")
DIGITS = re.compile(r"[+-]?\d{1,4}|n")
BAR = " | "
SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def word_text(package: Package) -> str:
    """The text of the document: headers, body, notes, comments, footers. Raises Unreadable where it has no body."""
    main = next((name for kind, name in package.relations("").values() if kind == "officeDocument"), MAIN)
    main = main if main in package else MAIN
    if main not in package:
        raise Unreadable(f"holds no {MAIN}: it is no Word document, or not whole; {AGAIN}")
    parts: dict[str, list[str]] = {}
    for kind, name in package.relations(main).values():
        if name in package:
            parts.setdefault(kind, []).append(name)
    numbering = read_numbering(package, parts)
    body = _Body(numbering)
    body.take(package.events(main))
    told = body.lines
    while told and not told[-1]:
        told.pop()
    for kind in ("footnotes", "endnotes"):
        for name in parts.get(kind, []):
            told += _notes(package, name, kind[:-1], body.marks)
    for name in parts.get("comments", []):
        told += _comments(package, name)
    told += [line for name in parts.get("diagramData", []) for line in paragraphs(package.events(name))]
    headers, footers = (_distinct(package, parts.get(kind, [])) for kind in ("header", "footer"))
    return "\n".join([*headers, *told, *footers])


def paragraphs(events: Iterable[Event]) -> list[str]:
    """The paragraphs and rows of a part that has no numbers."""
    body = _Body(Numbering())
    body.take(iter(events))
    return body.lines


@dataclass
class _Paragraph:
    pieces: list[str] = field(default_factory=list)
    style: str = ""
    number: str | None = None
    level: str = "0"


@dataclass
class _Body:
    """What is known while the events of a part go by. Paragraphs and rows may stand in each other (text boxes, tables)."""

    numbering: Numbering
    lines: list[str] = field(default_factory=list)
    paragraphs: list[_Paragraph] = field(default_factory=lambda: [_Paragraph()])
    rows: list[list[list[str]]] = field(default_factory=list)
    marks: dict[tuple[str, str], str] = field(default_factory=dict)  # (footnote or endnote, id) -> its number
    text: bool = False
    hidden: bool = False
    raised: bool = False

    def take(self, events: Iterator[Event]) -> None:
        for event in without(events, lambda start: start.name in UNSEEN):
            if event.kind == "text":
                if self.text and not self.hidden:
                    words = event.text
                    self._add(words.translate(RAISED) if self.raised and DIGITS.fullmatch(words) else words)
            elif event.kind == "start":
                self._start(event.name, event.attributes)
            else:
                self._end(event.name)
        self._end("p")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name:
            case "t":
                self.text = True
            case "p":
                self.paragraphs.append(_Paragraph())
            case "r":
                self.hidden = self.raised = False
            case "vanish":
                self.hidden = attributes.get("val") not in ("0", "false", "off")
            case "vertAlign":
                self.raised = attributes.get("val") == "superscript"
            case "pStyle":
                self.paragraphs[-1].style = attributes.get("val", "")
            case "numId":
                self.paragraphs[-1].number = attributes.get("val", "")
            case "ilvl":
                self.paragraphs[-1].level = attributes.get("val", "0")
            case "tr":
                self.rows.append([])
            case "tc" if self.rows:
                self.rows[-1].append([])
            case _:
                self._add(self._sign(name, attributes))

    def _sign(self, name: str, attributes: dict[str, str]) -> str:
        """What an element stands for that holds no text."""
        match name:
            case _ if name in SIGNS:
                return SIGNS[name]
            case "sym":
                code = attributes.get("char", "")
                return chr(int(code, 16)) if re.fullmatch("[0-9A-Fa-f]{4}", code) and not code.upper().startswith("F") else ""
            case "docPr" if attributes.get("descr", "").strip():
                return f" {attributes['descr'].strip()} "
            case "footnoteReference" | "endnoteReference":
                key = (name.removesuffix("Reference"), attributes.get("id", ""))
                return f"[{self.marks.setdefault(key, str(len(self.marks) + 1))}]"
        return ""

    def _end(self, name: str) -> None:
        if name == "t":
            self.text = False
        elif name == "p" and self.paragraphs:
            paragraph = self.paragraphs.pop()
            words = "".join(paragraph.pieces)
            number = self.numbering.next(paragraph.style, paragraph.number, paragraph.level) if words.strip() else ""
            self._line(number + words)
            if not self.paragraphs:
                self.paragraphs.append(_Paragraph())
        elif name == "tr" and self.rows:
            cells = self.rows.pop()
            self._line(BAR.join(" ".join(" ".join(cell).split()) for cell in cells).rstrip(BAR))

    def _add(self, words: str) -> None:
        self.paragraphs[-1].pieces.append(words)

    def _line(self, line: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1].append(line)
        elif line.strip() or (self.lines and self.lines[-1]):
            self.lines.append(line.rstrip())


def _each(events: Iterator[Event], name: str) -> Iterator[tuple[dict[str, str], list[Event]]]:
    """The elements of this name: their attributes and what is inside."""
    attributes, inside = None, list[Event]()
    for event in events:
        if event.name == name and event.kind == "start":
            attributes, inside = event.attributes, []
        elif event.name == name and event.kind == "end" and attributes is not None:
            yield attributes, inside
            attributes = None
        elif attributes is not None:
            inside.append(event)


def _notes(package: Package, part: str, kind: str, marks: dict[tuple[str, str], str]) -> list[str]:
    found = []
    for attributes, inside in _each(package.events(part), kind):
        if attributes.get("type") not in SEPARATORS:
            mark = marks.get((kind, attributes.get("id", "")), "")
            text = " ".join(" ".join(paragraphs(inside)).split())
            found += [f"[{mark}] {text}" if mark else text] if text else []
    return found


def _comments(package: Package, part: str) -> list[str]:
    found = []
    for attributes, inside in _each(package.events(part), "comment"):
        if text := " ".join(" ".join(paragraphs(inside)).split()):
            found.append(f"Comment by {attributes.get('author') or 'somebody'}: {text}")
    return found


def _distinct(package: Package, parts: list[str]) -> list[str]:
    """The text of headers or footers, each once, though a document has them for first, even and odd pages."""
    texts = ("\n".join(paragraphs(package.events(part))).strip() for part in parts)
    return list(dict.fromkeys(text for text in texts if text))
