"""HTML to text, as a browser shows it: blocks on lines of their own, cells divided by bars. Knows nothing of files.

lexbor (by selectolax) parses as the standard has it, so that every page becomes the tree that a browser makes of it. What an
element's own style or the page's style sheets hide is left out; scripts are not run. Runs in the worker process.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from tscli.documents.markup_charset import PRESCAN_BYTES, decoded_page
from tscli.documents.markup_elements import (
    AROUND,
    BAR,
    BLOCK_DISPLAYS,
    BLOCK_STYLE,
    BLOCKS,
    CDATA,
    CELLS,
    DROPPED,
    EMPTY,
    FLEX_STYLE,
    FLEXIBLE,
    FORMULAS,
    HIDDEN_STYLE,
    LISTS,
    OWN_DISPLAY,
    PARTED,
    RAISED,
    REPLACED,
    SPACES,
    SUPERSCRIPTS,
    TIGHT,
    VERBATIM,
    VOID,
    field_value,
    first_number,
    is_hidden,
)
from tscli.documents.markup_style import Sheets, sheets_of

MOST_NESTED = 3  # pages inside attributes of pages


@dataclass(frozen=True)
class Page:
    """The text of a page, the encoding that it was in, what a reader should know, and its title by itself."""

    text: str
    encoding: str
    warnings: tuple[str, ...] = ()
    title: str = ""


def html_text(data: bytes, encoding: str | None = None, *, titled: bool = True, given: str | None = None) -> Page:
    """The text of a page: its title first (where titled), without what a browser does not show.

    encoding: that whoever brought the page says it has (a mail's header). given: for a page that says nothing of it and is not
    UTF-8.
    """
    text, name, warning = decoded_page(data, encoding, given)
    page = _Text()
    root = LexborHTMLParser(_closed(text)).root
    if root is not None:
        page.take(root, sheets_of(root))
        if not page.finished():  # hidden until a script has run
            page = _Text()
            page.take(root)
    title = " ".join(page.title.split())
    body = page.finished()
    shown = f"{title}\n\n{body}".strip() if titled and title and body.split("\n", 1)[0] != title else body
    frames = [f"shows other files in frames ({', '.join(page.frames[:3])}); ingest them too"] if page.frames else []
    left_out = [f"{page.num_hidden:,} characters that its style sheet hides left out"] if page.num_hidden else []
    return Page(shown, name, (*([warning] if warning else []), *frames, *left_out), title)


@dataclass
class _Text:
    """A page's text while its tree is walked, in one pass with a stack: time grows with the page, not with its square."""

    pieces: list[str] = field(default_factory=list)
    title: str = ""
    frames: list[str] = field(default_factory=list)
    verbatim: int = 0
    after_space: bool = True
    raised: int = 0
    cell: int = -1  # how many pieces there were where the last cell began, so that no line ends there
    nested: int = 0
    lists: list[int | None] = field(default_factory=list)  # the next number of each that is open
    sheets: Sheets = field(default_factory=Sheets)
    num_hidden: int = 0  # characters that style sheets hide

    def take(self, root: LexborNode, sheets: Sheets | None = None) -> None:
        """All that the nodes below this one show under these style sheets."""
        self.sheets = sheets or Sheets()
        stack: list[LexborNode | _End | str] = [root]
        while stack:
            node = stack.pop()
            if isinstance(node, _End):
                self._close(node)
            elif isinstance(node, str):
                self._add(node)
            elif node.is_text_node:
                self._words(node.text_content or "")
            elif node.is_element_node:
                self._element(node, stack)

    def finished(self) -> str:
        """The text as it stands, with at most one empty line between blocks."""
        lines = [line.rstrip(" |") if line.endswith("| ") else line.rstrip() for line in "".join(self.pieces).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

    def _element(self, node: LexborNode, stack: list[LexborNode | _End | str]) -> None:
        name, attributes = str(node.tag), node.attributes
        if name == "title" and not self.title and node.parent is not None and node.parent.tag != "svg":
            self.title = node.text(deep=True)
            return
        if name == "head":
            stack.extend(child for child in _children(node) if child.tag == "title")
            return
        if (name in DROPPED and name not in REPLACED) or self._is_hidden(node, name, attributes):
            return
        self._replaced(name, attributes)
        if name in DROPPED:
            return
        if name == "math" and (tex := node.css_first("annotation[encoding='application/x-tex']")) is not None:
            self._words(f" {tex.text(deep=True)} ")
            return
        if name == "noframes":  # the parser leaves them as the letters that they are
            self._page(node.text(deep=True))
            return
        is_block = name in BLOCKS or self._is_block(node, attributes)
        self._open(name, attributes, is_block)
        stack.append(_End(name, is_block))
        children: list[LexborNode | _End | str] = list(_children(node))
        if name in FORMULAS and len(children) > 1:
            children[1:1] = [FORMULAS[name]]
        stack.extend(reversed(children))

    def _is_block(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        """By its own style, by a style sheet, or as a part of what lays its parts out by itself."""
        display = self.sheets.value(node, "display")[0]
        if display in BLOCK_DISPLAYS or BLOCK_STYLE.search((attributes.get("style") or "").lower()):
            return True
        parent = node.parent
        if parent is None or not parent.is_element_node:
            return False
        own = FLEX_STYLE.search((parent.attributes.get("style") or "").lower())
        return own is not None or self.sheets.value(parent, "display")[0] in FLEXIBLE

    def _is_hidden(self, node: LexborNode, name: str, attributes: dict[str, str | None]) -> bool:
        """By its own style, by a style sheet, or by its attributes, which either of them overrules."""
        display, visibility = self.sheets.value(node, "display"), self.sheets.value(node, "visibility")
        style = (attributes.get("style") or "").lower()
        own = OWN_DISPLAY.search(style)
        by_sheet = (display[0] == "none" and (display[1] or not own)) or (
            visibility[0] in ("hidden", "collapse") and (visibility[1] or "visibility" not in style)
        )
        if by_sheet:
            self.num_hidden += len(" ".join(node.text(deep=True).split()))
            return True
        if HIDDEN_STYLE.search(style) and not (display[1] and display[0]):
            return True
        return not (own or display[0]) and is_hidden(name, attributes)

    def _open(self, name: str, attributes: dict[str, str | None], is_block: bool) -> None:
        if name == "br":
            self._add("\n")
        elif is_block and len(self.pieces) != self.cell:
            self._line(name)
        if name in CELLS:
            self.cell = len(self.pieces)
        if name in PARTED or name in AROUND:
            self._add(AROUND.get(name, (" ",))[0])
        if name in LISTS:
            self.lists.append(first_number(name, attributes))
        elif name == "li":
            self._item(attributes)
        elif name == "optgroup" and attributes.get("label"):
            self._add(f"{attributes['label']}\n")
        self.verbatim += name in VERBATIM
        self.raised += name == "sup"

    def _close(self, end: _End) -> None:
        self.verbatim -= end.name in VERBATIM
        self.raised -= end.name == "sup"
        if end.name in LISTS:
            self.lists.pop()
        if end.name in CELLS:
            while self.pieces and self.pieces[-1] == "\n":  # the end of a paragraph in the cell
                self.pieces.pop()
            self._add(BAR)
        elif end.is_block:
            self._line(end.name)
        elif end.name in PARTED or end.name in AROUND:
            self._add(AROUND.get(end.name, ("", " "))[1])

    def _item(self, attributes: dict[str, str | None]) -> None:
        """The number in front of an item of a numbered list."""
        if not self.lists or self.lists[-1] is None:
            return
        value = attributes.get("value") or ""
        number = int(value) if re.fullmatch(r"-?\d{1,9}", value) else self.lists[-1]
        self.lists[-1] = number + 1
        self._add(f"{number}. ")

    def _replaced(self, name: str, attributes: dict[str, str | None]) -> None:
        """What is drawn instead of an element: a picture's words, the value of a field, the page in a frame."""
        if name in ("img", "area"):
            if words := attributes.get("alt"):
                self._words(f" {words} ")
        elif name == "input":
            self._words(f" {field_value(attributes)} ")
        elif name == "iframe" and attributes.get("srcdoc"):
            self._page(attributes["srcdoc"] or "")
        elif name == "frame" and attributes.get("src"):
            self.frames.append(str(attributes["src"])[:200])

    def _page(self, markup: str) -> None:
        """A page inside of this one."""
        if self.nested >= MOST_NESTED:
            return
        inner = _Text(nested=self.nested + 1)
        root = LexborHTMLParser(markup).root
        if root is not None:
            inner.take(root, sheets_of(root))
        self._add(f"\n{inner.finished()}\n")

    def _words(self, text: str) -> None:
        if self.verbatim:
            self._add(text)
            return
        text = SPACES.sub(" ", text)
        if self.raised and RAISED.fullmatch(text.strip()) and not self.after_space:
            text = text.translate(SUPERSCRIPTS)
        self._add(text[1:] if self.after_space and text.startswith(" ") else text)

    def _line(self, name: str) -> None:
        """Where a block begins or ends; items stand on lines without empty ones between."""
        if not (name in TIGHT and (not self.pieces or self.pieces[-1].endswith("\n"))):
            self._add("\n")

    def _add(self, piece: str) -> None:
        if piece == " " and self.after_space:
            return
        if piece:
            self.pieces.append(piece)
            self.after_space = piece[-1].isspace()


@dataclass(frozen=True)
class _End:
    """The end of an element, waiting on the stack below its children."""

    name: str
    is_block: bool


def _children(node: LexborNode) -> list[LexborNode]:
    children, child = [], node.child
    while child is not None:
        children.append(child)
        child = child.next
    return children


def _closed(markup: str) -> str:
    """XHTML as HTML's parser takes it: `<title/>` is an element that ends, not one that swallows the page, and what stands
    between the marks of CDATA is text."""
    head = markup[:PRESCAN_BYTES]
    if not head.lstrip().startswith("<?xml") and "http://www.w3.org/1999/xhtml" not in head:
        return markup
    markup = CDATA.sub(lambda found: html.escape(found[1], quote=False), markup)
    return EMPTY.sub(lambda tag: tag[0] if tag[1].lower() in VOID else f"<{tag[1]}{tag[2]}></{tag[1]}>", markup)
