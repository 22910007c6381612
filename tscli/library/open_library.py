"""One library, or several of independent documents as one context: a prefix, the documents of the first, then of the next.

Keys are kept before RoPE and an independent document has only the prefix before it, so that it can stand anywhere. Knows what
libraries hold; runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, islice, pairwise

import numpy as np
import torch

from tscli.errors import LibraryError, UsageError
from tscli.library.layer_upload import LayerUpload
from tscli.library.layout import ARRAYS, context_of, has_room, on_device, placed, sketch_of
from tscli.model.decoder import Decoder
from tscli.model.head_keys import KeyRun
from tscli.model.kv import KVState
from tscli.model.pages import Pages
from tscli.selection.joined_sketch import JoinedSketch, Span
from tscli.store import Fingerprint, Keys, KVHead, Segment, StoredLibrary, library_folder
from tscli.store import open_library as open_stored
from tscli.tokens import Context, DocumentTokens, same_prompt


@dataclass(frozen=True)
class Part:
    """Adjacent tokens [first, first + num_tokens) of one library; they stand behind those of the parts before."""

    library: StoredLibrary
    first: int
    num_tokens: int

    @property
    def segments(self) -> list[Segment]:
        """The pages of these tokens."""
        stop = self.first + self.num_tokens
        return [segment for segment in self.library.segments if self.first <= segment.record.start < stop]

    @property
    def head_keys(self) -> dict[KVHead, Keys]:
        """What retrieval heads scan of these tokens."""
        own = slice(self.first, self.first + self.num_tokens)
        keys = self.library.head_keys.items()
        return {head: (key[own], None if scale is None else scale[own]) for head, (key, scale) in keys}


@dataclass(frozen=True)
class OpenLibrary:
    """Open libraries, mapped, and what they are together; names: how each is shown; joined: their context, of several."""

    libraries: tuple[StoredLibrary, ...]
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    joined: Context | None = None

    @cached_property
    def context(self) -> Context:
        """All tokens and where they come from."""
        first = self.libraries[0]
        return self.joined if self.joined is not None else context_of(first.manifest, first.context)

    @property
    def name(self) -> str:
        """The library's name, or all of them."""
        return " + ".join(self.names)


def open_libraries(names: Sequence[str]) -> OpenLibrary:
    """Open libraries by name; LibraryError where one is missing, damaged, or cannot be joined to the first. One that is named
    twice is opened once."""
    if not names:
        raise UsageError("no library is named; name one, or several to join")
    folders = {library_folder(name).resolve(): library_folder(name) for name in names}
    opened = tuple(open_stored(folder) for folder in folders.values())
    first, own_names = opened[0], tuple(library.manifest.library for library in opened)
    if len(opened) == 1:
        return OpenLibrary(opened, own_names, (Part(first, 0, first.manifest.num_tokens),))
    for library in opened:
        _check_joins(first, library)
    unique = len(set(own_names)) == len(opened)
    return _join(opened, own_names if unique else tuple(str(library.folder) for library in opened))


def state_of(opened: OpenLibrary, decoder: Decoder) -> KVState:
    """The pages of all parts, one behind the other, on the model's device, with what there is of sketches and head keys."""
    state = _state_of(opened, decoder)
    if decoder.device.type == "cpu":
        state.use_runs(_key_runs(opened.parts))
    return state


def _key_runs(parts: Sequence[Part]) -> list[KeyRun]:
    """The head keys of each part, at the positions where it stands."""
    starts = accumulate((part.num_tokens for part in parts), initial=0)
    return [KeyRun(start, stop, part.head_keys) for (start, stop), part in zip(pairwise(starts), parts, strict=True)]


def _state_of(opened: OpenLibrary, decoder: Decoder) -> KVState:
    sketches = {id(library): sketch_of(library.sketch, decoder.device) for library in opened.libraries}
    if len(opened.parts) == 1:
        state = _state_over(opened.parts[0].segments, decoder)
        state.sketch = sketches[id(opened.libraries[0])]
        return state
    together = iter(placed([segment for part in opened.parts for segment in part.segments], decoder.device))
    states = [decoder.new_state(list(islice(together, len(part.segments)))) for part in opened.parts]
    state = decoder.new_state([segment for part in states for segment in part.segments])
    if any(sketches.values()):
        state.sketch = JoinedSketch(
            [
                Span(part.num_tokens, part.first, sketches[id(part.library)], own.scores)
                for part, own in zip(opened.parts, states, strict=True)
            ]
        )
    return state


def _state_over(segments: Sequence[Pages], decoder: Decoder) -> KVState:
    """A state over mapped segments: as they are on the CPU; on a GPU in one piece where that has the room, arriving while the
    question is read, else still mapped, so that only what is scored and selected goes there."""
    if decoder.device.type == "cpu" or not segments or not has_room(segments, decoder.device):
        return decoder.new_state(segments)
    if any(segment.scales is not None for segment in segments):
        return decoder.new_state([on_device(segment, decoder.device) for segment in segments])
    upload = LayerUpload(segments, decoder.device)
    state = decoder.new_state([upload.pages])
    state.wait_for_layer = upload
    return state


def _check_joins(first: StoredLibrary, other: StoredLibrary) -> None:
    """Refuse what cannot stand behind the first library's documents."""
    manifest, wanted = other.manifest, first.manifest
    name, beside = manifest.library, wanted.library
    if not manifest.independent:
        raise LibraryError(
            f"library {name} cannot be joined with others: its documents were read one after the other (joint); ask it by "
            f"itself, or ingest it again with: tscli ingest PATH --library {name} --documents independent"
        )
    mine, theirs = manifest.fingerprint, wanted.fingerprint
    differing = replace(_of_pages(mine), prefill=theirs.prefill).differing(_of_pages(theirs))
    if not same_prompt(manifest.template, wanted.template, "prefix", "prefix_ids"):
        differing.append("template")  # what stands before the documents; questions are asked as of the first
    if differing:
        raise LibraryError(
            f"library {name} (made by {mine.model_id}) cannot be joined with {beside} (made by {theirs.model_id}): "
            f"they differ in {', '.join(differing).replace('_', ' ')}; ask them one at a time, or ingest the documents of "
            f"{name} under another --library as {beside} was"
        )


def _of_pages(made: Fingerprint) -> Fingerprint:
    """Without the dtype that the model ran in: what the pages are kept in is what must agree."""
    return replace(made, dtype="", kv_dtype=made.pages_dtype)


def _join(opened: tuple[StoredLibrary, ...], names: tuple[str, ...]) -> OpenLibrary:
    """The prefix and all documents of the first, then of each other library what those before it do not hold."""
    documents, owners, seen = list[DocumentTokens](), list[str](), set[str]()
    parts = [Part(opened[0], 0, context_of(opened[0].manifest, opened[0].context).documents[0].token_start)]
    for library, name in zip(opened, names, strict=True):
        own = context_of(library.manifest, library.context).documents
        for document in own:
            if document.sha256 in seen:
                continue
            start, size = sum(part.num_tokens for part in parts), document.token_end - document.token_start
            documents.append(replace(document, token_start=start, token_end=start + size))
            owners.append(name)
            last = parts[-1]
            if last.library is library and last.first + last.num_tokens == document.token_start:
                parts[-1] = replace(last, num_tokens=last.num_tokens + size)
            else:
                parts.append(Part(library, document.token_start, size))
        seen.update(document.sha256 for document in own)
    arrays = {
        name: torch.cat([p.library.context[name][p.first : p.first + p.num_tokens] for p in parts]).numpy() for name in ARRAYS
    }
    sizes = [document.token_end - document.token_start for document in documents]
    order = np.repeat(np.arange(len(documents), dtype=np.int32), sizes)
    arrays["document"] = np.concatenate([np.full(documents[0].token_start, -1, dtype=np.int32), order])
    return OpenLibrary(opened, names, tuple(parts), Context(**arrays, documents=tuple(documents), libraries=tuple(owners)))
