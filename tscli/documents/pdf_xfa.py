"""What was filled into a form that Adobe's reader alone shows (XFA), by the form's own XML. Knows nothing of pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader

from tscli.documents.package import Event, Unreadable, xml_events

LARGEST = 32 << 20  # bytes of all parts together
RICH = frozenset({"body", "p", "span", "b", "i", "u", "br", "a", "sub", "sup"})  # within a value that has formats


def form_data(reader: PdfReader) -> str:
    """A line per value, "caption: value", by its name where the form has no caption; empty where there are no values.

    Raises what pypdf raises on a broken file.
    """
    captions: dict[str, str] = {}
    lines: list[str] = []
    for part in _parts(reader):
        try:
            events = list(xml_events(iter([part]), "XFA"))
        except Unreadable:  # the first and the last part are halves of one element
            continue
        captions |= dict(_captions(events))
        lines += [f"{captions.get(name, name)}: {value}" for name, value in _values(events)]
    return "\n".join(lines)


def _parts(reader: PdfReader) -> list[bytes]:
    """The XML of each part, the form's own before its data, as files have them."""
    form: Any = reader.root_object["/AcroForm"].get_object()
    parts = form.get("/XFA")
    parts = parts.get_object() if parts is not None else []
    streams = [part.get_object() for part in parts[1::2]] if isinstance(parts, list) else [parts]
    found = [bytes(stream.get_data()) for stream in streams if hasattr(stream, "get_data")]
    return found if sum(map(len, found)) <= LARGEST else []


def _values(events: list[Event]) -> Iterator[tuple[str, str]]:
    """Name and text of each element of the data that holds no others."""
    inside, name, text = 0, "", ""
    for event in events:
        if event.kind == "text":
            text += event.text
        elif event.name == "data" and not inside:
            inside += event.kind == "start"
        elif inside and event.name not in RICH:
            if event.kind == "start":
                inside, name, text = inside + 1, event.name, ""
                continue
            inside -= 1
            if event.name == name and text.strip():
                yield name, _tidy(text)
            name = text = ""


def _captions(events: list[Event]) -> Iterator[tuple[str, str]]:
    """Name and caption of each field of the form."""
    field, caption = "", None
    for event in events:
        if event.kind == "start" and event.name in ("field", "exclGroup"):
            field = event.attributes.get("name", "")
        elif event.name == "caption":
            if event.kind == "end" and field and caption and caption.strip():
                yield field, _tidy(caption).rstrip(":")
            caption = "" if event.kind == "start" else None
        elif event.kind == "text" and caption is not None:
            caption += event.text


def _tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
