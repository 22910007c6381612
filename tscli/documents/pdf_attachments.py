"""Files within a PDF, as in portfolios: by the tree of embedded files and by annotations. Knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pypdf import PdfReader

MOST_ATTACHMENTS = 1000
LARGEST = 64 << 20  # bytes of one
DEEPEST = 32


@dataclass(frozen=True)
class Attachment:
    """A file's name, without folders, and its bytes; None where it could not be taken out, and why."""

    name: str
    data: bytes | None
    problem: str = ""


def attachments(reader: PdfReader) -> Iterator[Attachment]:
    """Each file once, names made different by a number. Raises what pypdf raises on a broken tree."""
    taken: set[str] = set()
    seen: set[int] = set()
    for name, specification in _specifications(reader):
        stream = _stream(specification)
        number = getattr(getattr(stream, "indirect_reference", None), "idnum", id(stream))
        if stream is None or number in seen:
            continue
        seen.add(number)
        if len(seen) > MOST_ATTACHMENTS:
            return
        yield _taken_out(_apart(_name(specification) or name, taken), stream)


def _specifications(reader: PdfReader) -> Iterator[tuple[str, Any]]:
    root = reader.root_object
    names = _object(_object(root.get("/Names"), "/EmbeddedFiles"))
    if names is not None:
        yield from _leaves(names, [2 * MOST_ATTACHMENTS], 0)
    for page in reader.pages:
        for entry in _object(page.get("/Annots")) or ():
            annotation = entry.get_object()
            if hasattr(annotation, "get") and annotation.get("/Subtype") == "/FileAttachment" and "/FS" in annotation:
                yield "attachment", annotation["/FS"].get_object()


def _leaves(node: Any, left: list[int], depth: int) -> Iterator[tuple[str, Any]]:
    pairs = _object(node, "/Names") or []
    for name, value in zip(pairs[::2], pairs[1::2], strict=False):
        left[0] -= 1
        if left[0] < 0:
            return
        yield str(name), value.get_object()
    for kid in (_object(node, "/Kids") or ()) if depth < DEEPEST else ():
        left[0] -= 1
        if left[0] < 0:
            return
        yield from _leaves(kid.get_object(), left, depth + 1)


def _taken_out(name: str, stream: Any) -> Attachment:
    try:
        data = bytes(stream.get_data())
    except MemoryError:
        raise
    except Exception as error:  # pypdf raises many kinds; the attachment is named, the others are read
        return Attachment(name, None, f"cannot be unpacked ({' '.join(str(error).split())[:100]})")
    return Attachment(name, data) if len(data) <= LARGEST else Attachment(name, None, f"is larger than {LARGEST >> 20} MiB")


def _stream(specification: Any) -> Any:
    files = _object(specification, "/EF")
    stream = _object(files, "/UF") or _object(files, "/F") if files is not None else None
    return stream if hasattr(stream, "get_data") else None


def _name(specification: Any) -> str:
    return str(_object(specification, "/UF") or _object(specification, "/F") or "")


def _object(value: Any, key: str | None = None) -> Any:
    """What a reference or an entry leads to; None for nothing, and where there are no entries."""
    value = value.get_object() if hasattr(value, "get_object") else value
    if key is None:
        return value
    return _object(value.get(key)) if hasattr(value, "get") else None


def _apart(name: str, taken: set[str]) -> str:
    """One line without folders, and with a number where the name is taken."""
    name = "".join(char if char.isprintable() else "\ufffd" for char in name.replace("\\", "/").split("/")[-1]).strip()
    name = "attachment" if name.strip(".") == "" else name[:200]
    stem, dot, suffix = name.rpartition(".")
    number, shown = 1, name
    while shown in taken:
        number += 1
        shown = f"{stem} ({number}){dot}{suffix}" if stem else f"{name} ({number})"
    taken.add(shown)
    return shown
