"""Which documents, in which order: what the library holds keeps its place, what is new comes last.

The cache is causal, so order decides what must be run again. Documents from folders that this ingest does not name are
kept as the tokens that they already are.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tscli.documents import Document, longer
from tscli.errors import DamagedLibrary, LibraryError
from tscli.library.layout import breaks_of, context_of, labels_of
from tscli.store import Manifest, read_context, read_manifest
from tscli.tokens import Context, DocumentTokens, SourceText, Template, Tokenizer, build_context


@dataclass(frozen=True)
class Previous:
    """What the library holds already: its context, and a record per document as the manifest keeps it."""

    context: Context
    records: tuple[dict[str, Any], ...]
    independent: bool


@dataclass(frozen=True)
class Slot:
    """One document of the wanted context: freshly read, or kept as it is (`document` None)."""

    document: Document | None
    record: Mapping[str, Any] | None

    @property
    def source(self) -> SourceText:
        """What the tokeniser needs; kept documents have tokens already and bring no text."""
        if self.document is None:
            assert self.record is not None
            record = self.record
            return SourceText(
                record["path"], record["sha256"], None, record["paged"], record["title"], labels_of(record), breaks_of(record)
            )
        document = self.document
        title = self._title(document)
        return SourceText(
            document.path, document.sha256, document.pages, document.paged, title, document.labels, document.breaks
        )

    def _title(self, document: Document) -> str:
        """A renamed file keeps the title that it was read under: a new one would cost a run of all that follows."""
        unchanged = self.record is not None and self.record["sha256"] == document.sha256
        return str(self.record["title"]) if unchanged and self.record is not None else document.path

    @property
    def pages_without_text(self) -> int:
        """How many pages gave no text."""
        if self.document is None:
            assert self.record is not None
            return int(self.record["pages_without_text"])
        return len(self.document.pages_without_text)

    @property
    def ocr_pages(self) -> tuple[int, ...]:
        """The pages that were read by OCR, 1-based."""
        if self.document is None:
            assert self.record is not None
            return tuple(map(int, self.record.get("ocr_pages", ())))
        return self.document.ocr_pages

    @property
    def text_sha256(self) -> str | None:
        """Of the text as it was read; None where a library of before does not say."""
        if self.document is None:
            assert self.record is not None
            return self.record.get("text_sha256")
        return hashlib.sha256("\f".join(self.document.pages).encode()).hexdigest()

    @property
    def is_reread(self) -> bool:
        """Whether the file is there anew and its text may be another than the library has, as by another version, or by OCR."""
        if self.document is None or self.record is None:
            return False
        known = self.record.get("text_sha256"), self.record.get("num_pages", len(self.document.pages))
        return known != (self.text_sha256, len(self.document.pages))

    @property
    def file(self) -> str:
        """Absolute path of the file."""
        if self.document is None:
            assert self.record is not None
            return str(self.record["source"])
        return self.document.source


@dataclass(frozen=True)
class Arrangement:
    """The wanted context, document by document."""

    slots: tuple[Slot, ...]
    previous: Previous | None

    def build(self, tokenizer: Tokenizer, template: Template, max_tokens: int) -> Context:
        """Tokenise what is new; what the library holds unchanged is taken over as tokens."""
        reuse = self.previous.context if self.previous else None
        if reuse is not None and self.previous is not None:
            reread = {id(slot.record) for slot in self.slots if slot.is_reread}
            held = zip(reuse.documents, self.previous.records, strict=True)
            reuse = replace(reuse, documents=tuple(document for document, record in held if id(record) not in reread))
        sources = [slot.source for slot in self.slots]
        return build_context(tokenizer, template, sources, reuse=reuse, max_tokens=max_tokens)

    def records(self, context: Context) -> tuple[dict[str, Any], ...]:
        """A record per document for the manifest."""
        return tuple(
            {**_fields(tokens), "source": slot.file, "pages_without_text": slot.pages_without_text, **_said_if_any(slot)}
            for tokens, slot in zip(context.documents, self.slots, strict=True)
        )

    def is_new(self, index: int) -> bool:
        """Whether the library did not hold this document, or held another text of it."""
        slot = self.slots[index]
        return slot.record is None or (slot.document is not None and slot.record["sha256"] != slot.document.sha256)

    @property
    def copies(self) -> list[tuple[str, str]]:
        """New documents of the same bytes as another one of the wanted context, and that one: as both are shown."""
        found, seen = list[tuple[str, str]](), dict[str, str]()
        for slot in self.slots:  # new ones come last
            source = slot.source
            if slot.record is None and source.sha256 in seen:
                found.append((source.path, seen[source.sha256]))
            seen.setdefault(source.sha256, source.path)
        return found

    @property
    def gone(self) -> list[str]:
        """Documents that are kept though their files are no longer where they were read: as they are shown."""
        return [slot.source.path for slot in self.slots if slot.document is None and not os.path.exists(slot.file)]


def _fields(tokens: DocumentTokens) -> dict[str, Any]:
    return {name: value for name, value in vars(tokens).items() if name not in ("labels", "breaks")}


def _said_if_any(slot: Slot) -> dict[str, Any]:
    """What a record says only where there is something to say; in lists, as JSON gives them back."""
    source = slot.source
    said = {
        "labels": list(source.labels),
        "ocr_pages": list(slot.ocr_pages),
        "text_sha256": slot.text_sha256,
        "breaks": [list(place) for place in source.breaks],
    }
    return {name: value for name, value in said.items() if value} | _encoding(slot)


def _encoding(slot: Slot) -> dict[str, str]:
    """What a text file was read as, where that is not UTF-8: a repair reads it so again."""
    record = slot.record or {}
    known = record.get("encoding") if slot.document is None else slot.document.encoding
    return {"encoding": known} if known and not known.startswith("utf-8") else {}


def previous_context(
    folder: Path, paths: Sequence[Path], tokenizer_hash: str, template: Template
) -> tuple[Previous | None, str | None]:
    """What the library holds, as far as these tokens still mean the same, and a note where it is damaged.

    A damaged manifest or context is made anew from the named paths; its segments are found again by their content.
    """
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            return None, None
        _refuse_to_forget(manifest, paths, tokenizer_hash)
        return _previous(folder, manifest, tokenizer_hash, template), None
    except DamagedLibrary as error:
        return None, f"{error.what}: rebuilt from the named paths only (running tscli repair first would keep everything)"


def _previous(folder: Path, manifest: Manifest, tokenizer_hash: str, template: Template) -> Previous | None:
    same = manifest.fingerprint.tokenizer_hash == tokenizer_hash and manifest.template["prefix"] == template.prefix
    if not same:
        return None
    return Previous(
        context_of(manifest, read_context(folder, manifest)), tuple(dict(d) for d in manifest.documents), manifest.independent
    )


def arrange(paths: Sequence[Path], documents: Sequence[Document], previous: Previous | None) -> Arrangement:
    """Existing documents keep their places, changed ones too, and files that were renamed or moved; files that are gone from
    these paths are dropped; new ones come last, sorted."""
    records = previous.records if previous else ()
    new = _New(documents, {str(record["source"]) for record in records})
    roots = [path.expanduser().resolve() for path in paths]
    sources = [Path(record["source"]) for record in records]
    named = [any(source == root or root in source.parents for root in roots) for source in sources]
    found = [new.take(str(source)) for source in sources]  # below a root, or by a link that leads out of one
    for place, source in enumerate(sources):
        if found[place] is None and (named[place] or not os.path.exists(source)):
            found[place] = new.take_alike(records[place])
        elif found[place] is None:
            found[place] = new.take(os.path.realpath(source))  # there is a link where its folder was
    moved = _moved_folders((s, Path(d.source)) for s, d in zip(sources, found, strict=True) if d is not None)
    for place, source in enumerate(sources):
        folder = next((old for old in moved if old in source.parents and not os.path.exists(old)), None)
        if found[place] is None and folder is not None:  # edited since
            found[place] = new.take(str(moved[folder] / source.relative_to(folder)))
    slots = [Slot(d, r) for d, r, is_named in zip(found, records, named, strict=True) if d is not None or not is_named]
    slots += [Slot(document, None) for document in sorted(new.documents.values(), key=lambda document: document.path)]
    return Arrangement(_told_apart(slots), previous)


class _New:
    """Documents that were read and belong to none of the library's yet, by their files."""

    def __init__(self, documents: Sequence[Document], known: Collection[str]) -> None:
        """known: files that the library has."""
        self.documents = {document.source: document for document in documents}
        self._others: dict[str, list[Document]] = {}  # of files that it has not, by their bytes
        for document in documents:
            if document.source not in known:
                self._others.setdefault(document.sha256, []).append(document)

    def take(self, source: str) -> Document | None:
        """The document of this file."""
        return self.documents.pop(source, None)

    def take_alike(self, record: Mapping[str, Any]) -> Document | None:
        """One of the same bytes whose file the library has not; of the same name, where there is one."""
        name = Path(record["source"]).name
        others = [document for document in self._others.get(record["sha256"], ()) if document.source in self.documents]
        others.sort(key=lambda document: Path(document.source).name != name)
        return self.take(others[0].source) if others else None


def _moved_folders(files: Iterable[tuple[Path, Path]]) -> dict[Path, Path]:
    """Where folders are now, by where they were: told by files that were there and are here."""
    found = dict[Path, Path]()
    for old, new in files:
        if old != new and old.name == new.name:
            same = 1
            while old.parts[-same - 1 :] == new.parts[-same - 1 :]:
                same += 1
            found[old.parents[same - 1]] = new.parents[same - 1]
    return found


def _told_apart(slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """The same, each shown by another path: those whose files were read get the names of more folders where need be."""
    taken = {slot.source.path for slot in slots if slot.document is None}
    found = []
    for slot in slots:
        own = slot if slot.document is None else replace(slot, document=_apart(slot.document, taken))
        taken.add(own.source.path)
        found.append(own)
    return tuple(found)


def _apart(document: Document, taken: set[str]) -> Document:
    """The document, shown with the names of more folders where another one of the library is shown alike."""
    path, num_parts = document.path, len(Path(document.source).parts)
    while path in taken and len(Path(path).parts) < num_parts:
        path = longer(path, Path(document.source))
    return replace(document, path=path)


def _refuse_to_forget(manifest: Manifest, paths: Sequence[Path], tokenizer_hash: str) -> None:
    """A library made by another tokenizer can be made anew only if all its documents are named."""
    if manifest.fingerprint.tokenizer_hash == tokenizer_hash:
        return
    roots = [path.expanduser().resolve() for path in paths]
    lost = [
        d["path"]
        for d in manifest.documents
        if not any(r == Path(d["source"]) or r in Path(d["source"]).parents for r in roots)
    ]
    if lost:
        raise LibraryError(
            f"library {manifest.library} was made by {manifest.fingerprint.model_id} and holds {len(lost)} documents that "
            f"these paths do not name (first: {lost[0]}); name them too, or choose another --library"
        )
