"""What a page shows besides its own text: values of form fields, text that was typed onto it, comments. By pypdf."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pypdf import PageObject

MOST_ANNOTATIONS = 20_000  # of a page
LONGEST_VALUE = 1 << 16  # characters
DEEPEST = 32  # a field's parents
HIDDEN = 2 | 32  # of an annotation's flags: hidden, and not in a view
RADIO, BUTTON, PASSWORD = 1 << 15, 1 << 16, 1 << 13  # of a field's
# Words that mean no more than that a box is ticked.
TICKED = frozenset({"yes", "on", "true", "1", "x"})
# fmt: off
COMMENTS = frozenset({
    "/Text", "/Highlight", "/Underline", "/StrikeOut", "/Squiggly", "/Caret", "/Stamp", "/Line", "/Square", "/Circle", "/Ink",
    "/Polygon", "/PolyLine",
})
# fmt: on


@dataclass(frozen=True)
class Shown:
    """What an annotation shows, and where: left, bottom, right, top, in points, None where it has no place.

    kind: "value" of a field that is called `name`, "tick" of a box or a radio button, "typed" onto the page, or "comment".
    """

    kind: Literal["value", "tick", "typed", "comment"]
    text: str
    name: str = ""
    box: tuple[float, float, float, float] | None = None

    @property
    def line(self) -> str:
        """By itself: with its name."""
        return f"{self.name}: {self.text}" if self.name else self.text


def shown_annotations(page: PageObject) -> list[Shown]:
    """Filled fields, typed text and comments, from the top of the page down.

    A field is read by its value, whether its appearance is painted or not; values of password fields and what is hidden are
    left out. Raises what pypdf raises on a broken page.
    """
    found = [shown for annotation in _annotations(page) if (shown := _shown(annotation, page)) is not None]
    return sorted(found, key=lambda shown: (-shown.box[3], shown.box[0]) if shown.box else (0.0, 0.0))


def _annotations(page: PageObject) -> Iterator[Any]:
    listed = page.get("/Annots")
    for entry in list(listed.get_object() or ())[:MOST_ANNOTATIONS] if listed is not None else ():
        annotation = entry.get_object()
        if hasattr(annotation, "get") and not _integer(annotation.get("/F")) & HIDDEN:
            yield annotation


def _shown(annotation: Any, page: PageObject) -> Shown | None:
    kind, box = annotation.get("/Subtype"), _box(annotation)
    if kind == "/Widget":
        name = _text(_inherited(annotation, "/TU")) or _text(_inherited(annotation, "/T"))
        is_text = _inherited(annotation, "/FT") in ("/Tx", "/Ch")
        value = _value(annotation)
        if is_text and _inherited(annotation, "/V") is None and not _integer(_inherited(annotation, "/Ff")) & PASSWORD:
            value = _formatted(_inherited(annotation, "/RV")) or _drawn(annotation, page)
        return Shown("value" if is_text else "tick", value, name, box) if value else None
    text = _text(annotation.get("/Contents")) or _formatted(annotation.get("/RC"))
    if not text and kind in ("/FreeText", "/Stamp"):
        text = _drawn(annotation, page)
    if not text:
        return None
    if kind in COMMENTS:
        author = _text(annotation.get("/T"))
        return Shown("comment", text, f"Comment by {author}" if author else "Comment", box)
    return Shown("typed", text, box=box) if kind == "/FreeText" else None


def _formatted(value: Any) -> str:
    """The words of a text with formats, which is a piece of XHTML."""
    text = re.sub(r"(?i)<br\s*/?>|</p\s*>", "\n", _text(value))
    return html.unescape(re.sub(r"<[^>]*>", "", text)).strip()


def _drawn(annotation: Any, page: PageObject) -> str:
    """What an annotation without a text of its own paints."""
    looks = annotation.get("/AP")
    listed = looks.get_object().get("/N") if looks is not None else None
    if listed is None or not hasattr(listed.get_object(), "get_data"):
        return ""
    look: Any = listed.get_object()
    return page.extract_xform_text(look).strip()[:LONGEST_VALUE]


def _value(field: Any) -> str:
    """What a field shows; empty where it is not filled in."""
    kind, flags, value = _inherited(field, "/FT"), _integer(_inherited(field, "/Ff")), _inherited(field, "/V")
    if kind == "/Btn":
        return "" if flags & BUTTON else _ticked(field, field.get("/AS") or value, is_radio=bool(flags & RADIO))
    if kind == "/Sig":
        return f"signed by {_text(value.get('/Name')) or 'somebody'}" if hasattr(value, "get") else ""
    if kind == "/Ch":
        shown = _options(field)
        chosen = value if isinstance(value, list) else [value]
        return ", ".join(shown.get(text, text) for text in map(_text, chosen) if text)
    return "" if flags & PASSWORD else _text(value)


def _ticked(field: Any, state: Any, *, is_radio: bool) -> str:
    """The state's name; where states are but numbers, what the field says that they mean."""
    text = _text(state).removeprefix("/")
    if not text or text == "Off":
        return ""
    meanings = list(_inherited(field, "/Opt") or ())[:MOST_ANNOTATIONS]
    if text.isdigit() and len(text) < 6 and int(text) < len(meanings):
        return _text(meanings[int(text)]) or text
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


def _box(annotation: Any) -> tuple[float, float, float, float] | None:
    rectangle = annotation.get("/Rect")
    try:
        left, bottom, right, top = map(float, rectangle.get_object())
    except (AttributeError, TypeError, ValueError):
        return None
    return min(left, right), min(bottom, top), max(left, right), max(bottom, top)
