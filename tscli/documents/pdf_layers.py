"""Layers of a PDF that viewers do not show (optional content that is off), and a page without them. By pypdf."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import ContentStream, IndirectObject, NameObject

LARGEST = 4 << 20  # bytes of a page's drawing: larger ones would take too long
MOST_LAYERS = 10_000


class TooLarge(Exception):
    """The page draws too much for its hidden layers to be taken out."""


def hidden_layers(reader: PdfReader) -> frozenset[int]:
    """The numbers of the objects that are layers and off when the file is opened. Raises what pypdf raises on a broken file."""
    properties = _object(reader.root_object.get("/OCProperties"))
    default = _object(properties.get("/D")) if properties is not None else None
    if default is None:
        return frozenset()
    off = set(_numbers(default.get("/OFF")))
    if default.get("/BaseState") == "/OFF":
        off |= set(_numbers(properties.get("/OCGs"))) - set(_numbers(default.get("/ON")))
    return frozenset(off)


def without_layers(page: PageObject, hidden: frozenset[int]) -> bytes | None:
    """A PDF of this page without what stands on these layers; None where nothing does.

    Layers within forms that the page draws are not looked for. Raises TooLarge, and what pypdf raises on a broken page.
    """
    resources = _object(page.get("/Resources")) or {}
    marks = {name for name, entry in _entries(resources, "/Properties") if _is_off(entry, hidden)}
    forms = {name for name, entry in _entries(resources, "/XObject") if _is_off(_object(entry).get("/OC"), hidden)}
    contents = page.get_contents()
    if not (marks or forms) or contents is None:
        return None
    if len(contents.get_data()) > LARGEST:
        raise TooLarge
    stream = ContentStream(contents, page.pdf)
    stream.operations = list(_shown(stream.operations, marks, forms))
    writer = PdfWriter()
    added = writer.add_page(page)
    added[NameObject("/Contents")] = writer._add_object(stream)
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _shown(operations: list[tuple[Any, bytes]], marks: set[str], forms: set[str]) -> Iterator[tuple[Any, bytes]]:
    """The operations outside of what is marked as of a hidden layer; those that set a state stay, for what follows needs it."""
    inside: list[bool] = []
    for operands, operator in operations:
        if operator in (b"BDC", b"BMC"):
            is_layer = operator == b"BDC" and len(operands) > 1 and operands[0] == "/OC"
            inside.append(is_layer and str(operands[1]) in marks)
        is_drawn = operator in (b"Tj", b"TJ", b"'", b'"', b"Do")
        if not (is_drawn and (any(inside) or (operator == b"Do" and str(operands[0]) in forms))):
            yield operands, operator
        if operator == b"EMC" and inside:
            inside.pop()


def _is_off(entry: Any, hidden: frozenset[int]) -> bool:
    """Whether a layer, or a group of them by its policy, is off."""
    if isinstance(entry, IndirectObject) and entry.idnum in hidden:
        return True
    group = _object(entry)
    if not hasattr(group, "get") or group.get("/Type") != "/OCMD":
        return False
    listed = group.raw_get("/OCGs") if "/OCGs" in group else None
    members = (
        [listed] if isinstance(listed, IndirectObject) and not isinstance(_object(listed), list) else _object(listed) or []
    )
    states = [member.idnum in hidden for member in members[:MOST_LAYERS] if isinstance(member, IndirectObject)]
    if not states:
        return False
    policy = group.get("/P", "/AnyOn")
    return {"/AllOn": any(states), "/AnyOff": not any(states), "/AllOff": not all(states)}.get(policy, all(states))


def _numbers(entry: Any) -> Iterator[int]:
    for member in (_object(entry) or ())[:MOST_LAYERS]:
        if isinstance(member, IndirectObject):
            yield member.idnum


def _entries(resources: Any, kind: str) -> Iterator[tuple[str, Any]]:
    entries = _object(resources.get(kind))
    for name in entries or ():
        yield str(name), entries.raw_get(name)


def _object(value: Any) -> Any:
    return value.get_object() if hasattr(value, "get_object") else value
