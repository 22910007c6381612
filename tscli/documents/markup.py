"""HTML to text: blocks on lines of their own, cells divided by bars. Knows nothing of files; runs in the worker process."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, CData, NavigableString, Tag

DROPPED = frozenset({"script", "style", "template", "noscript", "head"})
# fmt: off
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol",
    "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
})
# fmt: on
CELLS = frozenset({"td", "th"})
VERBATIM = frozenset({"pre", "textarea"})


def html_text(data: bytes) -> tuple[str, str]:
    """The text of a page, its title first, without scripts, styles and comments; and the page's encoding."""
    soup = BeautifulSoup(data, "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    lines = [line.rstrip(" \t|") if line.endswith("| ") else line.rstrip() for line in "".join(_pieces(soup)).split("\n")]
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    shown = f"{title}\n\n{body}" if title and not body.startswith(title) else body
    return shown, soup.original_encoding or "utf-8"


def _pieces(root: Tag) -> Iterator[str]:
    """The text in reading order, in one pass with a stack: time grows with the page, not with its square."""
    stack: list[object] = [root]
    verbatim = 0
    at_line_start = True
    while stack:
        node = stack.pop()
        piece = ""
        if isinstance(node, _Close):
            verbatim -= node.name in VERBATIM
            piece = " | " if node.name in CELLS else "\n"
        elif isinstance(node, Tag):
            if node.name in DROPPED:
                continue
            verbatim += node.name in VERBATIM
            if node.name in BLOCKS or node.name in CELLS or node.name in VERBATIM:
                stack.append(_Close(node.name))
            stack.extend(reversed(node.contents))
            piece = "\n" if node.name in BLOCKS or node.name == "br" else ""
        elif type(node) in (NavigableString, CData):  # the other kinds are comments, doctypes and the like
            piece = str(node) if verbatim else re.sub(r"\s+", " ", str(node))
            if not verbatim and at_line_start:
                piece = piece.lstrip()
        if piece:
            at_line_start = piece.endswith("\n")
            yield piece


class _Close:
    """The end of an element, waiting on the stack below its children."""

    def __init__(self, name: str) -> None:
        self.name = name
