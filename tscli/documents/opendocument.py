"""OpenDocument (odt, ods, odp) to text; sheets and slides are pages. Runs in the worker process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tscli.documents.package import AGAIN, Event, FlatPackage, Package, Unreadable, without

MAIN = "content.xml"
# What was deleted, what is hidden, descriptions of forms and styles.
UNSEEN = frozenset({"tracked-changes", "automatic-styles", "font-face-decls", "scripts", "hidden-text", "forms", "sender-data"})
STRUCTURE = frozenset({"note", "note-body", "annotation", "frame", "text-box", "table", "table-row", "table-cell"})
NOUNS = {"spreadsheet": "sheet", "presentation": "slide"}
MOST_REPEATED = 100  # cells or rows that a file says are alike
BAR = " | "
SPACES = re.compile(r"[ \t\r\n]+")


class OpenDocument:
    """An open document, spreadsheet or presentation."""

    def __init__(self, package: Package | FlatPackage) -> None:
        """Read it. Raises Unreadable where it has no content, or is encrypted."""
        if MAIN not in package:
            raise Unreadable(f"holds no {MAIN}: it is not an OpenDocument file, or is incomplete; {AGAIN}")
        if "META-INF/manifest.xml" in package and _is_encrypted(package):
            raise Unreadable("is encrypted; save it without a password")
        unseen = _hidden_styles(package)
        hidden = dict[str, None]()

        def is_unseen(start: Event) -> bool:
            if start.name == "table" and start.attributes.get("style-name") in unseen:
                hidden[start.attributes.get("name", "?")] = None
                return True
            is_folded = start.name == "table-row" and start.attributes.get("visibility") in ("collapse", "filter")
            return is_folded or start.name in UNSEEN

        body = _Body()
        body.take(without(package.events(MAIN), is_unseen))
        self.warnings = (f"hidden sheets left out: {', '.join(hidden)[:200]}",) if hidden else ()
        self.noun = NOUNS.get(body.kind, "page")
        self.paged = body.kind in NOUNS
        if self.paged:
            self.pages = ["\n".join(lines).strip() for _, lines in body.pages]
            self.labels = tuple(name for name, _ in body.pages)
        else:
            around = _headers(package) if "styles.xml" in package else ([], [])
            self.pages = ["\n".join([*around[0], *body.lines, *body.notes, *around[1]])]
            self.labels = ()
        self.count = len(self.pages)
        if not self.count:
            raise Unreadable("holds no sheets or slides, and so no text")

    def text(self, index: int) -> str:
        """A page (0-based)."""
        return self.pages[index]


@dataclass
class _Body:
    """What is known while the events go by; paragraphs stand in each other where there are notes and text boxes."""

    kind: str = "text"
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pages: list[tuple[str, list[str]]] = field(default_factory=list)
    words: list[list[str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    cells: list[tuple[list[str], int]] = field(default_factory=list)
    inside_note: list[int] = field(default_factory=list)  # where in lines each began
    citation: str = ""

    def take(self, events: Iterator[Event]) -> None:
        within = list[str]()
        for event in events:
            if event.kind == "text":
                if self.words and within and within[-1] not in STRUCTURE:
                    self.words[-1].append(SPACES.sub(" ", event.text))
            elif event.kind == "start":
                within.append(event.name)
                self._start(event.name, event.attributes)
            else:
                within.pop()
                self._end(event.name)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name:
            case "spreadsheet" | "presentation":
                self.kind = name
            case "table" if self.kind == "spreadsheet" and not self.rows:
                label = attributes.get("name", "?")
                self.pages.append((label, [label, ""]))
            case "page" if self.kind == "presentation":
                self.pages.append((f"slide {len(self.pages) + 1}", []))
            case "p" | "h" | "note-citation":
                self.words.append([])
            case "s" if self.words:
                self.words[-1].append(" " * min(_count(attributes, "c"), MOST_REPEATED))
            case "tab" if self.words:
                self.words[-1].append("\t")
            case "line-break" if self.words:
                self.words[-1].append("\n")
            case "table-row":
                self.rows.append([])
            case "table-cell" | "covered-table-cell":
                self.cells.append(([], _count(attributes, "number-columns-repeated")))
            case "note" | "annotation" | "notes":
                self.inside_note.append(len(self._target()))

    def _end(self, name: str) -> None:
        match name:
            case "p" | "h" if self.words:
                self._line("".join(self.words.pop()))
            case "note-citation" if self.words:
                self.citation = "".join(self.words.pop())
                if self.words:
                    self.words[-1].append(f"[{self.citation}]")
            case "table-cell" | "covered-table-cell" if self.cells:
                lines, repeated = self.cells.pop()
                if self.rows:
                    text = " ".join(" ".join(lines).split())
                    self.rows[-1] += [text] * min(repeated, MOST_REPEATED if text else 20)
            case "table-row" if self.rows:
                row = BAR.join(self.rows.pop()).rstrip(BAR)
                if row.strip():
                    self._line(row)
            case "note" | "annotation" | "notes" if self.inside_note:
                self._note(name)

    def _note(self, name: str) -> None:
        """What was said in a note, out of the text around it."""
        target, start = self._target(), self.inside_note.pop()
        said = [line for line in target[start:] if line.strip()]
        del target[start:]
        if not said:
            return
        if name == "notes":
            target += ["", "Notes:", *said]
        elif name == "note":
            self.notes.append(f"[{self.citation}] {' '.join(said)}")
        else:
            self.notes.append(f"Comment: {' '.join(said)}")
        if self.pages:
            self.pages[-1][1].extend(self.notes)
            self.notes.clear()

    def _target(self) -> list[str]:
        if self.cells:
            return self.cells[-1][0]
        return self.pages[-1][1] if self.pages else self.lines

    def _line(self, line: str) -> None:
        target = self._target()
        if line.strip() or (target and target[-1]):
            target.append(line.rstrip())


def _headers(package: Package | FlatPackage) -> tuple[list[str], list[str]]:
    """Headers and footers, each once."""
    found: dict[str, list[str]] = {"header": [], "footer": []}
    name, body = "", _Body()
    for event in package.events("styles.xml"):
        if event.kind == "start" and event.name in found:
            name, body = event.name, _Body()
        elif event.kind == "end" and event.name == name:
            text = "\n".join(body.lines).strip()
            if text and text not in found[name]:
                found[name].append(text)
            name = ""
        elif name and event.kind == "text" and body.words:
            body.words[-1].append(event.text)
        elif name and event.kind == "start":
            body._start(event.name, event.attributes)
        elif name and event.kind == "end":
            body._end(event.name)
    return found["header"], found["footer"]


def _hidden_styles(package: Package | FlatPackage) -> set[str]:
    """The styles of tables that are not shown."""
    found, style = set[str](), ""
    for event in package.events(MAIN):
        if event.kind == "start" and event.name == "style":
            style = event.attributes.get("name", "")
        elif event.kind == "start" and event.name == "table-properties" and event.attributes.get("display") == "false":
            found.add(style)
        elif event.kind == "start" and event.name == "body":
            break
    return found


def _is_encrypted(package: Package | FlatPackage) -> bool:
    return any(event.name == "encryption-data" for event in package.events("META-INF/manifest.xml"))


def _count(attributes: dict[str, str], name: str) -> int:
    text = attributes.get(name, "1")
    return int(text) if text.isdigit() and len(text) < 9 else 1
