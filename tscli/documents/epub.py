"""Books (EPUB) to text, a chapter at a time, in the order of reading. Runs in the worker process."""

from __future__ import annotations

import posixpath
import re

from tscli.documents.markup import html_text
from tscli.documents.package import AGAIN, Package, Unreadable, resolved

CONTAINER, RIGHTS = "META-INF/container.xml", "META-INF/encryption.xml"
MARKUP = re.compile(r"\.x?html?$", re.IGNORECASE)
FONTS = re.compile(r"\.(otf|ttf|woff2?|svg|css)$", re.IGNORECASE)
LONGEST_LABEL = 80


class Book:
    """An open book."""

    def __init__(self, package: Package) -> None:
        """Find the chapters. Raises Unreadable where there are none, or the book is locked."""
        self._package = package
        if RIGHTS in package:
            _refuse_locked(package)
        self._parts, titles = _in_order(package)
        if not self._parts:
            raise Unreadable(f"holds no chapters: it is not an EPUB book, or is incomplete; {AGAIN}")
        self.count = len(self._parts)
        self.labels = tuple(titles.get(part, posixpath.basename(part))[:LONGEST_LABEL] for part in self._parts)

    def text(self, index: int) -> str:
        """A chapter (0-based) as a reading device shows it; the title that browsers put above the window is not text here."""
        return html_text(self._package.read(self._parts[index]), titled=False).text


def _in_order(package: Package) -> tuple[list[str], dict[str, str]]:
    """The chapters by the book's own order, else all pages in the order of the file; and the contents' names of them."""
    pages = [name for name in package.names if MARKUP.search(name)]
    if CONTAINER not in package:
        return pages, {}
    roots = [
        event.attributes.get("full-path", "")
        for event in package.events(CONTAINER)
        if event.name == "rootfile" and event.attributes
    ]
    if not roots or roots[0] not in package:
        return pages, {}
    folder = posixpath.dirname(roots[0])
    items, spine, contents = dict[str, str](), list[str](), list[str]()
    for event in package.events(roots[0]):
        if event.kind == "start" and event.name == "item":
            part = resolved(folder, event.attributes.get("href", ""))
            items[event.attributes.get("id", "")] = part
            if "nav" in event.attributes.get("properties", "").split() or part.endswith(".ncx"):
                contents.append(part)
        elif event.kind == "start" and event.name == "itemref":
            spine.append(event.attributes.get("idref", ""))
    order = [part for each in spine if (part := items.get(each, "")) in package]
    return order or pages, _titles(package, contents)


def _titles(package: Package, contents: list[str]) -> dict[str, str]:
    """What the contents call each chapter; the first name of it counts."""
    found: dict[str, str] = {}
    for part in contents:
        if part not in package:
            continue
        folder, words, target, text = posixpath.dirname(part), "", "", False
        try:
            for event in package.events(part):
                match event.kind, event.name:
                    case "start", "a" if "href" in event.attributes:
                        target, words, text = event.attributes["href"], "", True
                    case "start", "text":
                        words, text = "", True
                    case "end", "text":
                        text = False
                    case "text", _ if text:
                        words += event.text
                    case "start", "content":
                        target = event.attributes.get("src", "")
                if (event.name == "a" and event.kind == "end") or (event.name == "content" and event.kind == "start"):
                    if words.strip() and target:
                        found.setdefault(resolved(folder, target), " ".join(words.split()))
                    words, text = "", False
        except Unreadable:  # the chapters are there all the same
            continue
    return found


def _refuse_locked(package: Package) -> None:
    """Fonts may be scrambled, chapters may not."""
    for event in package.events(RIGHTS):
        part = event.attributes.get("URI", "")
        if event.kind == "start" and event.name == "CipherReference" and not FONTS.search(part):
            raise Unreadable("is locked by a bookseller's copy protection (DRM); get a copy without it")
