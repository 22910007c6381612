"""What a page shows besides its own text: values of form fields, text that was typed onto it, comments. By pypdf."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pypdf import PageObject

MOST_ANNOTATIONS = 20_000  # of a page
LONGEST_VALUE = 1 << 16  # characters
DEEPEST = 32  # a field's parents
HIDDEN = 2 | 32  # of an annotation's flags: hidden, and not in a view
RADIO, BUTTON, PASSWORD = 1 << 15, 1 << 16, 1 << 13  # of a field's
# Words that mean no more than that a box is ticked.
TICKED = frozenset({"yes", "on", "true", "1", "x"})
COMMENTS = frozenset({"/Text", "/Highlight", "/Underline", "/StrikeOut", "/Squiggly", "/Caret", "/Stamp"})


def annotation_lines(page: PageObject) -> list[str]:
    """A line per filled field ("name: value"), typed text and comment, from the top of the page down.

    A field is read by its value, whether its appearance is painted or not; values of password fields and what is hidden are
    left out. Raises what pypdf raises on a broken page.
    """
    found = []
    for annotation in _annotations(page):
        line = _line(annotation)
        if line:
            left, top = _place(annotation)
            found.append((-top, left, line))
    return list(dict.fromkeys(line for _, _, line in sorted(found)))


def _annotations(page: PageObject) -> Iterator[Any]:
    listed = page.get("/Annots")
    for entry in list(listed.get_object() or ())[:MOST_ANNOTATIONS] if listed is not None else ():
        annotation = entry.get_object()
        if hasattr(annotation, "get") and not _integer(annotation.get("/F")) & HIDDEN:
            yield annotation


def _line(annotation: Any) -> str:
    kind = annotation.get("/Subtype")
    if kind == "/Widget":
        value = _value(annotation)
        name = _text(_inherited(annotation, "/TU")) or _text(_inherited(annotation, "/T"))
        return f"{name}: {value}" if name and value else value
    text = _text(annotation.get("/Contents"))
    if kind == "/FreeText" or not text:
        return text if kind == "/FreeText" else ""
    if kind in COMMENTS:
        author = _text(annotation.get("/T"))
        return f"Comment by {author}: {text}" if author else f"Comment: {text}"
    return ""


def _value(field: Any) -> str:
    """What a field shows; empty where it is not filled in."""
    kind, flags, value = _inherited(field, "/FT"), _integer(_inherited(field, "/Ff")), _inherited(field, "/V")
    if kind == "/Btn":
        return "" if flags & BUTTON else _ticked(field.get("/AS") or value, is_radio=bool(flags & RADIO))
    if kind == "/Sig":
        return f"signed by {_text(value.get('/Name')) or 'somebody'}" if hasattr(value, "get") else ""
    if kind == "/Ch":
        shown = _options(field)
        chosen = value if isinstance(value, list) else [value]
        return ", ".join(shown.get(text, text) for text in map(_text, chosen) if text)
    return "" if flags & PASSWORD else _text(value)


def _ticked(state: Any, *, is_radio: bool) -> str:
    text = _text(state).removeprefix("/")
    if not text or text == "Off":
        return ""
    return text if is_radio or text.lower() not in TICKED else "yes"


def _options(field: Any) -> dict[str, str]:
    """Of a choice: what is kept -> what is shown."""
    pairs = [option.get_object() for option in list(_inherited(field, "/Opt") or ())[:MOST_ANNOTATIONS]]
    return {_text(pair[0]): _text(pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _inherited(field: Any, key: str) -> Any:
    """A field's entry, its own or that of a parent."""
    for _ in range(DEEPEST):
        if (value := field.get(key)) is not None:
            return value.get_object()
        parent = field.get("/Parent")
        if parent is None or not hasattr(parent.get_object(), "get"):
            return None
        field = parent.get_object()
    return None


def _text(value: Any) -> str:
    """A string or a stream of text; lines of one stay lines."""
    if value is None:
        return ""
    value = value.get_object() if hasattr(value, "get_object") else value
    if hasattr(value, "get_data"):
        data = value.get_data()
        value = data.decode("utf-16" if data[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-8", errors="replace")
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    text = str(value)[:LONGEST_VALUE] if isinstance(value, str | int | float) else ""
    return re.sub(r"\r\n?", "\n", text).strip()


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _place(annotation: Any) -> tuple[float, float]:
    """Left and top, in points."""
    box = annotation.get("/Rect")
    try:
        left, bottom, right, top = map(float, box.get_object())
    except (AttributeError, TypeError, ValueError):  # no place: behind all others
        return 0.0, 0.0
    return min(left, right), max(bottom, top)
