"""What each HTML element is to a reader: a block, a cell, a list, text as it stands, or nothing; and what a field shows."""

from __future__ import annotations

import re

# What a browser draws nothing of, or something else instead of.
# fmt: off
DROPPED = frozenset({
    "script", "style", "template", "head", "iframe", "video", "audio", "canvas", "datalist", "rp", "noembed",
    "defs", "symbol", "metadata", "annotation", "annotation-xml",
})
REPLACED = frozenset({"iframe"})  # and shows something else instead
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr",
    "legend", "li",
    "main", "menu", "nav", "ol", "optgroup", "option", "p", "pre", "search", "section", "select", "summary", "table",
    "tbody", "textarea", "tfoot", "thead", "tr", "ul", "listing", "plaintext", "xmp", "dir",
})
# fmt: on
TIGHT = frozenset({"li", "option", "optgroup", "select", "dd", "dt"})
CELLS = frozenset({"td", "th"})
BAR = " | "
LISTS = frozenset({"ol", "ul", "menu", "dir"})
FORMULAS = {"mfrac": "/", "msup": "^", "msub": "_"}
VERBATIM = frozenset({"pre", "textarea", "listing", "plaintext", "xmp"})
PARTED = frozenset({"button", "input", "img", "text", "tspan"})  # spaces around them
SHOWN_VALUES = frozenset({"text", "search", "email", "url", "tel", "number", "date", "time", "month", "week", "datetime-local"})
BUTTONS = frozenset({"button", "submit", "reset"})
AROUND = {"q": ("\u201c", "\u201d"), "rt": ("(", ")")}
HIDDEN_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|font-size\s*:\s*0[a-z%]*)\s*(?:!|;|$)"
)
OWN_DISPLAY = re.compile(r"(?:^|;)\s*display\s*:\s*(?!none)[a-z]")
BLOCK_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*(?:block|flex|grid|list-item|table|table-row)\b")
FLEX_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*(?:inline-)?(?:flex|grid)\b")
FLEXIBLE = frozenset({"flex", "grid", "inline-flex", "inline-grid"})
BLOCK_DISPLAYS = frozenset({"block", "flex", "grid", "list-item", "table", "table-row", "flow-root"})
SPACES = re.compile(r"\s+")
CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
SUPERSCRIPTS = str.maketrans(
    "0123456789+-\u2212=()n",
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207b\u207c\u207d\u207e\u207f",
)
RAISED = re.compile(r"[+\u2212-]?\d{1,4}|n")
EMPTY = re.compile(r"""<([a-zA-Z][\w:-]*)((?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*/>""")
# fmt: off
VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr", "path", "circle", "rect", "line", "use",
})
# fmt: on


def is_hidden(name: str, attributes: dict[str, str | None]) -> bool:
    """By its attributes."""
    if "hidden" in attributes and (attributes["hidden"] or "").lower() != "until-found":
        return True
    if name == "dialog" and "open" not in attributes:
        return True
    # a formula's second copy, drawn letter by letter
    return name in ("span", "div") and "katex-html" in (attributes.get("class") or "")


def field_value(attributes: dict[str, str | None]) -> str:
    kind = (attributes.get("type") or "text").lower()
    if kind in SHOWN_VALUES:
        return attributes.get("value") or attributes.get("placeholder") or ""
    if kind in BUTTONS:
        return attributes.get("value") or ""
    return (attributes.get("alt") or "") if kind == "image" else ""


def first_number(name: str, attributes: dict[str, str | None]) -> int | None:
    """The first number of a list; None for a list without numbers."""
    start = attributes.get("start") or "1"
    return int(start) if name == "ol" and re.fullmatch(r"-?\d{1,9}", start) else None
