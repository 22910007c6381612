"""Workbooks (xlsx, xlsm) to text, a sheet at a time: rows as lines, numbers as the sheet shows them.

Runs in the worker process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tscli.documents.formats import BUILT_IN, general, shown
from tscli.documents.package import AGAIN, Package, Unreadable, without
from tscli.documents.slides import drawn_lines

MAIN = "xl/workbook.xml"
BAR = " | "
WIDEST_GAP = 20  # empty cells between two that are not
MOST_COLUMNS = 16_384  # of a sheet
UNSEEN = frozenset({"rPh", "extLst"})  # how a word is spoken


@dataclass(frozen=True)
class _Sheet:
    name: str
    part: str


class Sheets:
    """An open workbook; hidden sheets are left out, and named."""

    def __init__(self, package: Package) -> None:
        """Find the sheets and what their cells share. Raises Unreadable where there is none."""
        self._package = package
        main = next((name for kind, name in package.relations("").values() if kind == "officeDocument"), MAIN)
        if main.endswith(".bin") or "xl/workbook.bin" in package:
            raise Unreadable("is a workbook in the binary form of Excel (.xlsb); save it as .xlsx")
        if main not in package:
            raise Unreadable(f"holds no {MAIN}: it is not a workbook, or is incomplete; {AGAIN}")
        relations = package.relations(main)
        self._sheets, hidden, self._from_1904 = list[_Sheet](), list[str](), False
        for event in package.events(main):
            if event.kind == "start" and event.name == "sheet":
                name, part = event.attributes.get("name", "?"), relations.get(event.attributes.get("id", ""), ("", ""))
                if event.attributes.get("state", "visible") != "visible":
                    hidden.append(name)
                elif part[0] in ("worksheet", "chartsheet") and part[1] in package:
                    self._sheets.append(_Sheet(name, part[1]))
            elif event.kind == "start" and event.name == "workbookPr":
                self._from_1904 = event.attributes.get("date1904") in ("1", "true")
        parts = dict(relations.values())
        self._strings = _strings(package, parts.get("sharedStrings", "xl/sharedStrings.xml"))
        self._forms = _forms(package, parts.get("styles", "xl/styles.xml"))
        self.count = len(self._sheets)
        if not self._sheets:
            raise Unreadable("holds no sheet with text")
        self.labels = tuple(sheet.name for sheet in self._sheets)
        self.warnings = (f"hidden sheets left out: {', '.join(hidden)[:200]}",) if hidden else ()

    def text(self, index: int) -> str:
        """The sheet's name (0-based), then its rows."""
        sheet = self._sheets[index]
        rows = _Rows(self._strings, self._forms, self._from_1904)
        rows.take(self._package, sheet.part)
        others: list[str] = []
        for kind, name in self._package.relations(sheet.part).values():
            if name in self._package and kind == "comments":
                others += _comments(self._package, name)
            elif name in self._package and kind == "drawing":
                others += drawn_lines(self._package, name)
        return "\n".join([sheet.name, "", *rows.lines, *others]) if rows.lines or others else ""


@dataclass
class _Rows:
    """The rows of a sheet while its events go by."""

    strings: list[str]
    forms: list[str]
    from_1904: bool
    lines: list[str] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)  # columns

    def take(self, package: Package, part: str) -> None:
        cells, column, is_hidden = list[str](), 0, False
        kind = style = ""
        value, formula, inside = "", "", ""
        for event in without(package.events(part), lambda start: start.name in UNSEEN):
            match event.kind, event.name:
                case "text", _ if inside in ("v", "t"):
                    value += event.text
                case "text", _ if inside == "f":
                    formula += event.text
                case "start", "col" if event.attributes.get("hidden") in ("1", "true"):
                    self._hide(event.attributes.get("min", ""), event.attributes.get("max", ""))
                case "start", "row":
                    cells, is_hidden = [], event.attributes.get("hidden") in ("1", "true")
                case "start", "c":
                    column = _column(event.attributes.get("r", ""), len(cells))
                    kind, style = event.attributes.get("t", "n"), event.attributes.get("s", "")
                    value = formula = ""
                case "start", ("v" | "t" | "f") as name:
                    inside = name
                case "end", "v" | "t" | "f":
                    inside = ""
                case "end", "c":
                    if column not in self.hidden and (text := self._shown(kind, style, value, formula)):
                        cells += [""] * min(column - len(cells), WIDEST_GAP if cells else 0)
                        cells.append(text)
                case "end", "row":
                    if cells and not is_hidden:
                        self.lines.append(BAR.join(cells))

    def _hide(self, first: str, last: str) -> None:
        if first.isdigit() and last.isdigit() and int(first) <= int(last) <= MOST_COLUMNS:
            self.hidden |= set(range(int(first) - 1, int(last)))

    def _shown(self, kind: str, style: str, value: str, formula: str) -> str:
        if kind == "s":
            at = int(value) if value.strip().isdigit() else -1
            value = self.strings[at] if 0 <= at < len(self.strings) else ""
        elif kind == "b":
            value = "TRUE" if value.strip() == "1" else "FALSE"
        elif kind == "n" and value:
            value = self._number(value, style)
        elif not value and formula:
            value = f"={formula}"  # never computed by a spreadsheet
        return " ".join(value.split())

    def _number(self, value: str, style: str) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        form = self.forms[int(style)] if style.isdigit() and int(style) < len(self.forms) else ""
        try:
            return shown(number, form, from_1904=self.from_1904) if form else general(number)
        except (ValueError, OverflowError):
            return value


def _column(reference: str, otherwise: int) -> int:
    """0-based, of a cell called B7."""
    letters = re.match(r"[A-Z]{1,3}", reference)
    if letters is None:
        return otherwise
    column = 0
    for letter in letters[0]:
        column = column * 26 + ord(letter) - 64
    return column - 1


def _strings(package: Package, part: str) -> list[str]:
    """The texts that cells refer to by number."""
    if part not in package:
        return []
    found, words, text = list[str](), list[str](), False
    for event in without(package.events(part), lambda start: start.name in UNSEEN):
        match event.kind, event.name:
            case "start", "t":
                text = True
            case "end", "t":
                text = False
            case "text", _ if text:
                words.append(event.text)
            case "end", "si":
                found.append("".join(words))
                words = []
    return found


def _forms(package: Package, part: str) -> list[str]:
    """The number format of each style."""
    if part not in package:
        return []
    own, found, in_cells = dict[int, str](), list[str](), False
    for event in package.events(part):
        number = event.attributes.get("numFmtId", "")
        match event.kind, event.name:
            case "start", "numFmt" if number.isdigit():
                own[int(number)] = event.attributes.get("formatCode", "")
            case _, "cellXfs":
                in_cells = event.kind == "start"
            case "start", "xf" if in_cells:
                number = number if number.isdigit() else "0"
                found.append(own.get(int(number), BUILT_IN.get(int(number), "")))
    return found


def _comments(package: Package, part: str) -> list[str]:
    found, words, text, cell = list[str](), list[str](), False, ""
    for event in package.events(part):
        match event.kind, event.name:
            case "start", "comment":
                cell, words = event.attributes.get("ref", ""), []
            case "start" | "end", "t":
                text = event.kind == "start"
            case "text", _ if text:
                words.append(event.text)
            case "end", "comment" if "".join(words).strip():
                found.append(f"Comment on {cell}: {' '.join(''.join(words).split())}")
    return found
