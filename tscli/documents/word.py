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
# Signs of Word's own fonts, which it keeps as private characters; the Greek of Symbol stands on the keys of its sounds.
SYMBOL = dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True))
SYMBOL |= dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True))
SYMBOL |= {
    0xA2: "′", 0xA3: "≤", 0xA5: "∞", 0xAB: "↔", 0xAC: "←", 0xAE: "→", 0xB0: "°", 0xB1: "±", 0xB2: "″", 0xB3: "≥", 0xB4: "×",
    0xB5: "∝", 0xB6: "∂", 0xB7: "•", 0xB8: "÷", 0xB9: "≠", 0xBA: "≡", 0xBB: "≈", 0xC6: "∅", 0xC7: "∩", 0xC8: "∪", 0xCC: "⊂",
    0xCE: "∈", 0xCF: "∉", 0xD1: "∇", 0xD5: "∏", 0xD6: "√", 0xD7: "⋅", 0xD8: "¬", 0xD9: "∧", 0xDA: "∨", 0xDE: "⇒", 0xE5: "∑",
    0xF2: "∫",
}  # fmt: skip
WINGDINGS = {
    0x6C: "●", 0x6E: "■", 0x6F: "□", 0xA7: "▪", 0xA8: "◻", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒",
    0xFE: "☑",
}  # fmt: skip
SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def word_text(package: Package) -> str:
    """The text of the document: headers, body, notes, comments, footers. Raises Unreadable where it has no body."""
    main = next((name for kind, name in package.relations("").values() if kind == "officeDocument"), MAIN)
    main = main if main in package else MAIN
    if main not in package:
        raise Unreadable(f"holds no {MAIN}: it is not a Word document, or is incomplete; {AGAIN}")
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
    spoken: str = ""  # how the word that follows is spoken, and where in its paragraph that began
    spoken_at: int = 0

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
            case "rt":
                self.spoken_at = len(self.paragraphs[-1].pieces)
            case _:
                self._add(self._sign(name, attributes))

    def _sign(self, name: str, attributes: dict[str, str]) -> str:
        """What an element stands for that holds no text."""
        match name:
            case _ if name in SIGNS:
                return SIGNS[name]
            case "sym":
                return _symbol(attributes.get("char", ""), attributes.get("font", ""))
            case "docPr" if attributes.get("descr", "").strip():
                return f" {attributes['descr'].strip()} "
            case "footnoteReference" | "endnoteReference":
                key = (name.removesuffix("Reference"), attributes.get("id", ""))
                return f"[{self.marks.setdefault(key, str(len(self.marks) + 1))}]"
        return ""

    def _end(self, name: str) -> None:
        if name == "t":
            self.text = False
        elif name == "rt":
            pieces = self.paragraphs[-1].pieces
            self.spoken = "".join(pieces[self.spoken_at :])
            del pieces[self.spoken_at :]
        elif name == "rubyBase":
            self._add(f"({self.spoken})" if self.spoken else "")
            self.spoken = ""
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


def _symbol(code: str, font: str) -> str:
    """A sign by its number in a font; nothing for one that only that font has."""
    if not re.fullmatch("[0-9A-Fa-f]{4}", code):
        return ""
    number = int(code, 16)
    if 0xF000 <= number <= 0xF0FF or number <= 0xFF:
        own = SYMBOL if font.lower() == "symbol" else WINGDINGS if font.lower() == "wingdings" else {}
        return own.get(number & 0xFF, "" if number > 0xFF or own else chr(number))
    return chr(number) if number < 0xE000 or number > 0xF8FF else ""


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
