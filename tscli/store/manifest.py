"""A library's manifest: JSON with a checksum of its own text, so that an edited one is refused, as is a newer format.

Manifests of before have no seal; of them every field is checked as far as that goes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xxhash

from tscli.errors import LibraryError
from tscli.store.damaged import damaged

# 1: pages in the model's dtype, made by its full weights; still written for these. 2: kv_dtype or weights in the fingerprint.
# 3: kv_layout in the fingerprint. 4: retrieval heads' keys in a file of their own.
FORMAT_VERSIONS = (1, 2, 3, 4)
# How keys and values lie in a segment's file: the order of the axes, slots in a page, codes and scales. To be raised with any
# change of it: libraries of another layout are then refused by name, and an ingest recomputes their segments.
KV_LAYOUT_VERSION = 1
DTYPES = ("float32", "bfloat16", "float16")
KV_DTYPES = (None, "bfloat16", "int8")
WEIGHTS = (None, "int8")
# Where a model lies and what it is called may change; what it computes is in the hashes.
NAMES_ONLY = ("model_id", "revision")
# The first line of a manifest, whatever its version: XXH3-128 of all that follows it.
SEAL = re.compile(r'\{\n "checksum": "([0-9a-f]{32})",\n')
SEGMENT_ID = re.compile(r"[0-9a-f]{32}")
PLAIN_FILE = re.compile(r"(context|sketch|head-keys)-[0-9a-f]+-[0-9a-f]+\.pt")


@dataclass(frozen=True)
class Fingerprint:
    """Everything that must agree between a library and whoever reads it; prefill: the selection settings of the prefill.

    kv_dtype: of the pages, None where it is `dtype`. weights: "int8" where documents were prefilled by int8 weights, else None.
    kv_layout: the `KV_LAYOUT_VERSION` that the pages were written by; 1 where a manifest does not say.
    """

    model_id: str
    revision: str | None
    model_hash: str
    tokenizer_hash: str
    dtype: str
    num_layers: int
    num_kv_heads: int
    head_dim: int
    rope: dict[str, Any]
    prefill: dict[str, Any]
    page_size: int
    segment_pages: int
    kv_dtype: str | None = None
    weights: str | None = None
    kv_layout: int = 1

    @property
    def pages_dtype(self) -> str:
        """What keys and values are kept in."""
        return self.kv_dtype or self.dtype

    @property
    def weights_name(self) -> str:
        """What the model's linear layers ran by: "int8", or the name of the dtype."""
        return self.weights or self.dtype

    @property
    def format_version(self) -> int:
        """The oldest format that can say this."""
        if self.kv_layout != 1:
            return 3
        return 1 if self.kv_dtype is None and self.weights is None else 2

    def record(self) -> dict[str, Any]:
        """The fields as a manifest keeps them; those that format 1 does not have, only where they say something."""
        implied = {"kv_dtype": None, "weights": None, "kv_layout": 1}
        return {name: value for name, value in asdict(self).items() if name not in implied or value != implied[name]}

    @property
    def model(self) -> str:
        """The model's name, with its revision where one was named."""
        return f"{self.model_id} at {self.revision}" if self.revision else self.model_id

    def digest(self) -> str:
        """SHA-256 over all fields but the model's name and revision."""
        content = {name: value for name, value in self.record().items() if name not in NAMES_ONLY}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def differing(self, other: Fingerprint) -> list[str]:
        """The fields in which `other` differs, by name."""
        names = [field.name for field in fields(self) if field.name not in NAMES_ONLY]
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def differences(self, other: Fingerprint) -> list[str]:
        """A sentence per field in which `other` (what is loaded now) differs from this (what the library has)."""
        pairs = [(name.replace("_", " "), getattr(self, name), getattr(other, name)) for name in self.differing(other)]
        return [f"{name}: the library has {mine}, the model is {theirs}" for name, mine, theirs in pairs]


@dataclass(frozen=True)
class SegmentRecord:
    """A committed segment: its place in the chain, and the size and XXH3-128 of its file."""

    id: str
    parent: str | None
    start: int
    num_tokens: int
    size_bytes: int
    xxh3: str


@dataclass(frozen=True)
class Manifest:
    """The state of a library that readers see; documents are plain records with their token ranges."""

    format_version: int
    library: str
    created: str
    updated: str
    fingerprint: Fingerprint
    template: dict[str, Any]
    tokens_sha256: str
    num_tokens: int
    documents: tuple[dict[str, Any], ...]
    segments: tuple[SegmentRecord, ...]
    settings: dict[str, Any]
    context_file: str = ""
    context_size: int = 0
    context_xxh3: str = ""
    sketch_file: str = ""  # none where the context is too short for a sketch to pay
    sketch_size: int = 0
    sketch_xxh3: str = ""
    head_keys: tuple[tuple[int, int], ...] = ()  # (layer, kv head) of those whose keys the next file holds once more
    head_keys_file: str = ""  # none where no retrieval heads are known
    head_keys_size: int = 0
    head_keys_xxh3: str = ""

    @classmethod
    def new(
        cls,
        *,
        library: str,
        fingerprint: Fingerprint,
        template: Mapping[str, Any],
        tokens_sha256: str,
        num_tokens: int,
        documents: Sequence[Mapping[str, Any]],
        settings: Mapping[str, Any],
    ) -> Manifest:
        """A manifest without segments yet; the writer completes it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(
            fingerprint.format_version,
            library,
            now,
            now,
            fingerprint,
            dict(template),
            tokens_sha256,
            num_tokens,
            tuple(dict(document) for document in documents),
            (),
            dict(settings),
        )

    def check(self, loaded: Fingerprint) -> None:
        """Refuse a model, tokenizer, dtype or setting other than the library's; LibraryError names each difference."""
        self.check_layout()
        mine = self.fingerprint
        if differences := mine.differences(loaded):
            raise LibraryError(
                f"library {self.library} was made by {mine.model} and does not match {loaded.model}: "
                f"{'; '.join(differences)}; ask with the model it was made by, or ingest again under another --library"
            )

    def check_layout(self) -> None:
        """Refuse pages that this tscli would read wrongly; LibraryError says by which layout they were written."""
        if self.fingerprint.kv_layout != KV_LAYOUT_VERSION:
            raise LibraryError(
                f"library {self.library} keeps its keys and values in layout {self.fingerprint.kv_layout}, this tscli reads "
                f"layout {KV_LAYOUT_VERSION}; use the version of tscli that made it, or recompute it with: "
                f"tscli ingest PATH --library {shlex.quote(self.library)}"
            )

    @property
    def independent(self) -> bool:
        """Whether every document was prefilled independently of the others."""
        return self.settings.get("documents") == "independent"

    @property
    def plain_files(self) -> list[tuple[str, int, str]]:
        """Name, size and XXH3-128 of the files beside the segments: the context, the sketch and the retrieval heads' keys where
        there are such."""
        files = [
            (self.context_file, self.context_size, self.context_xxh3),
            (self.sketch_file, self.sketch_size, self.sketch_xxh3),
            (self.head_keys_file, self.head_keys_size, self.head_keys_xxh3),
        ]
        return files[:1] + [file for file in files[1:] if file[0]]

    @property
    def oldest_format(self) -> int:
        """The oldest format that can say this."""
        return 4 if self.head_keys_file else self.fingerprint.format_version

    def with_segments(self, records: Sequence[SegmentRecord]) -> Manifest:
        """The same with these segments."""
        return replace(self, segments=tuple(records))

    def to_json(self) -> str:
        """Readable JSON, in ASCII (a path may hold bytes that are no UTF-8), under its seal."""
        content = {**asdict(self), "fingerprint": self.fingerprint.record()}
        if not self.head_keys_file:  # which formats before 4 do not know
            content = {name: value for name, value in content.items() if not name.startswith("head_keys")}
        rest = json.dumps(content, indent=1).removeprefix("{\n")
        return f'{{\n "checksum": "{_checksum(rest)}",\n{rest}'

    @classmethod
    def from_json(cls, text: str, path: Path) -> Manifest:
        """Parse and check; LibraryError names the file and what is wrong with it."""
        try:
            raw = json.loads(text)
            version, sealed = raw["format_version"], "checksum" in raw
            raw.pop("checksum", None)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise damaged(path.parent, f"{path}: not a manifest of a library ({error})") from error
        seal = SEAL.match(text)
        if sealed and (seal is None or seal[1] != _checksum(text[seal.end() :])):
            raise damaged(path.parent, f"{path}: its checksum does not match")
        if version not in FORMAT_VERSIONS:
            raise LibraryError(
                f"{path}: format version {version}, this tscli reads {FORMAT_VERSIONS[0]} to {FORMAT_VERSIONS[-1]}; "
                "use the version that made it, or rebuild the library with tscli ingest"
            )
        try:
            raw["fingerprint"] = Fingerprint(**raw["fingerprint"])
            raw["segments"] = tuple(SegmentRecord(**record) for record in raw["segments"])
            raw["documents"] = tuple(dict(record) for record in raw["documents"])
            raw["head_keys"] = tuple((layer, kv_head) for layer, kv_head in raw.get("head_keys", ()))
            manifest = cls(**raw)
            manifest._check()
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise damaged(path.parent, f"{path}: the manifest is damaged ({error})") from error
        return manifest

    def _check(self) -> None:
        """The segments must cover the tokens in one chain, or in one per independent document; ValueError otherwise."""
        fingerprint = self.fingerprint
        if fingerprint.kv_dtype not in KV_DTYPES or fingerprint.weights not in WEIGHTS:
            raise ValueError("the format of its pages or weights is unknown")
        shape = (fingerprint.num_layers, fingerprint.num_kv_heads, fingerprint.head_dim)
        if fingerprint.dtype not in DTYPES or not all(type(size) is int and size > 0 for size in shape):
            raise ValueError("the dtype or the shape of its keys is unknown")
        if type(fingerprint.kv_layout) is not int:
            raise ValueError("the layout of its pages is not a number")
        if self.format_version != self.oldest_format or bool(self.head_keys) != bool(self.head_keys_file):
            raise ValueError("its format version does not match its fields")
        held = {(layer, kv_head) for layer in range(shape[0]) for kv_head in range(shape[1])}
        if len(set(self.head_keys)) != len(self.head_keys) or not held.issuperset(self.head_keys):
            raise ValueError("it has keys of heads that its model does not have")
        at, parents = 0, set[str | None]([None])
        for record in self.segments:
            if record.start != at or record.num_tokens < 1 or record.parent not in parents:
                raise ValueError(f"segment {record.id} is not where the chain has it")
            at, parents = at + record.num_tokens, (parents if self.independent else set()) | {record.id}
        if at != self.num_tokens:
            raise ValueError(f"segments hold {at} tokens of {self.num_tokens}")
        ids, names = [record.id for record in self.segments], [name for name, _, _ in self.plain_files]
        if not all(map(SEGMENT_ID.fullmatch, ids)) or not all(map(PLAIN_FILE.fullmatch, names)):
            raise ValueError("a file name is not one that a library uses")
        files = {(record.id, record.parent, record.num_tokens, record.size_bytes, record.xxh3) for record in self.segments}
        if len({*ids, *names}) != len(files) + len(names):  # documents that say the same share a segment
            raise ValueError("a file is named twice")
        sizes = [record.size_bytes for record in self.segments] + [size for _, size, _ in self.plain_files]
        if not all(isinstance(size, int) for size in sizes):
            raise ValueError("a size is not a number")


def _checksum(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode(errors="surrogatepass"))
