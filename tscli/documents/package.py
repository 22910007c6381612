"""Zipped documents (Office, OpenDocument, EPUB): their parts as streams of XML events. Runs in the worker process.

Nothing is unpacked to the disk or as a whole, no entity is expanded and nothing outside of the file is opened; what a part
unpacks to is counted. Names of elements and attributes come without their prefixes, for who wrote the file chose those.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

BLOCK_BYTES = 1 << 16
LARGEST_PART = 1 << 29  # bytes, unpacked; time ends what is slower to read
AGAIN, ANEW = "copy or download it again", "save it again from the program that made it"
DEEPEST = 500  # elements in each other


class Unreadable(Exception):
    """A file of a kind that is read, and cannot be; the message says why, for the user."""


class Unexpected(Unreadable):
    """A file without text, and nobody expects any in it."""


class Event(NamedTuple):
    """kind: "start", "end" or "text"; name: of an element, without prefix; attributes of a start; text of a text."""

    kind: str
    name: str
    attributes: dict[str, str]
    text: str


class Package:
    """An open zip file."""

    def __init__(self, source: Path | bytes) -> None:
        """Open a file, or its bytes. Raises Unreadable where it is no zip file, or its parts are encrypted."""
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise Unreadable(
                f"is damaged or incomplete: it cannot be opened as the zip file that it should be; {AGAIN}"
            ) from error
        self.names = tuple(info.filename for info in self._zip.infolist())
        self._known = frozenset(self.names)
        if any(info.flag_bits & 1 for info in self._zip.infolist()):
            raise Unreadable("is encrypted; save it without a password")

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def blocks(self, name: str) -> Iterator[bytes]:
        """A part's bytes, block by block. Raises Unreadable where it is missing, damaged, or unpacks to too much."""
        size = 0
        try:
            with self._zip.open(name) as part:
                while block := part.read(BLOCK_BYTES):
                    size += len(block)
                    if size > LARGEST_PART:
                        raise Unreadable(
                            f"unpacks to more than {LARGEST_PART >> 20} MiB in {name}; is it a zip bomb? If not, split it"
                        )
                    yield block
        except KeyError:
            raise Unreadable(f"holds no {name}: it is incomplete; {AGAIN}") from None
        except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
            raise Unreadable(f"is damaged in {name} ({error}); {AGAIN}") from error

    def read(self, name: str) -> bytes:
        """A part as a whole."""
        return b"".join(self.blocks(name))

    def events(self, name: str) -> Iterator[Event]:
        """The XML of a part. Raises Unreadable where it is no XML, nested too deep, or declares entities."""
        return xml_events(self.blocks(name), name)

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """What a part refers to by its relations: id -> (the last word of its type, the name of the other part)."""
        folder, file = posixpath.split(part)
        name = f"{folder}/_rels/{file}.rels" if folder else f"_rels/{file}.rels"
        if name not in self:
            return {}
        found = {}
        for event in self.events(name):
            if event.kind == "start" and event.name == "Relationship" and event.attributes.get("TargetMode") != "External":
                kind = event.attributes.get("Type", "").rsplit("/", 1)[-1]
                found[event.attributes.get("Id", "")] = (kind, resolved(folder, event.attributes.get("Target", "")))
        return found


class FlatPackage:
    """An OpenDocument in one XML file (fodt, fods, fodp), whose parts are all that one."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __contains__(self, name: str) -> bool:
        return name in ("content.xml", "styles.xml")

    def events(self, name: str) -> Iterator[Event]:
        """As of `Package.events`."""
        return xml_events(iter([self._data]), name)


def resolved(folder: str, target: str) -> str:
    """The name of the part that a part in this folder means by a target."""
    target = unquote(target.split("#", 1)[0])
    return posixpath.normpath(target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target))


def xml_events(blocks: Iterator[bytes], name: str) -> Iterator[Event]:
    """XML as events, in memory that does not grow with it. Raises Unreadable as `Package.events`."""
    parser = expat.ParserCreate()
    found: list[Event] = []
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise Unreadable(f"nests more than {DEEPEST} elements in {name}; {ANEW}")
        found.append(Event("start", _local(tag), _own(attributes), ""))

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        found.append(Event("end", _local(tag), {}, ""))

    def entity(*_: object) -> None:
        raise Unreadable(f"declares XML entities in {name}, which are not expanded; {ANEW}")

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: found.append(Event("text", "", {}, text))
    parser.EntityDeclHandler = entity
    try:
        for block in blocks:
            parser.Parse(block, False)
            yield from found
            found.clear()
        parser.Parse(b"", True)
        yield from found
    except expat.ExpatError as error:
        raise Unreadable(f"is damaged: {name} is not valid XML ({error}); {ANEW}") from error


def _own(attributes: dict[str, str]) -> dict[str, str]:
    """Attributes without prefixes; of two that are called alike then, the one with a prefix keeps its colon (`:id`)."""
    found = {_local(name): value for name, value in attributes.items()}
    if len(found) < len(attributes):
        found |= {f":{_local(name)}": value for name, value in attributes.items() if ":" in name}
        found |= {name: value for name, value in attributes.items() if ":" not in name}
    return found


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def without(events: Iterator[Event], unwanted: Callable[[Event], bool]) -> Iterator[Event]:
    """The events but for the elements whose start is unwanted, and all inside of them."""
    depth = 0
    for event in events:
        if depth:
            depth += (event.kind == "start") - (event.kind == "end")
        elif event.kind == "start" and unwanted(event):
            depth = 1
        else:
            yield event
