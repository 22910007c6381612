"""The head of a GGUF file: what it says of itself and where its tensors lie, checked against the file's size.

Knows the format (versions 2 and 3, little-endian); reads no weights and imports nothing heavy. A file of a stranger is read
here first, so nothing is believed: no length that goes beyond the file, no number of entries that it could not hold.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from tscli.errors import TscliError, UsageError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MOST_NUMBERS = 4096  # of an array that is kept unasked; of longer ones and of texts, only how many there are
OnStep = Callable[[str, int, int], None]  # what is done now, how much of it, of how much (0: not known)
WAY_OUT = "give another .gguf file, a folder in Hugging Face layout or a hub id with --model"


@dataclass(frozen=True)
class GGUFTensor:
    """shape: in torch's order, the last dimension contiguous; kind: "F16", "Q4_K", ...; start, num_bytes: in the file."""

    name: str
    shape: tuple[int, ...]
    kind: str
    start: int
    num_bytes: int

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class GGUFHeader:
    """metadata: by the file's own keys; of a long array that was not asked for, the number of its entries."""

    path: Path
    metadata: dict[str, Any]
    tensors: tuple[GGUFTensor, ...]

    @property
    def architecture(self) -> str:
        """What kind of model it is, as llama.cpp calls it: llama, qwen2, ..."""
        return str(self.metadata["general.architecture"])

    def of_model(self, key: str, default: Any = None) -> Any:
        """What the file says under the architecture's own key, such as "context_length"."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    @property
    def num_parameters(self) -> int:
        """Weights in all; an embedding that serves as the head, too, counts once."""
        return sum(tensor.numel for tensor in self.tensors)


def read_header(path: Path, whole: Container[str] = ()) -> GGUFHeader:
    """Read and check the head of a GGUF file. whole: keys of arrays to keep, however long they are.

    UsageError where it is none, TscliError where it is damaged, cut off or of a kind that cannot be read.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file; {WAY_OUT}")
        with path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise UsageError(f"{path}: not a GGUF file (it does not begin with the letters GGUF); {WAY_OUT}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Head(path, data).read(whole)
    except OSError as error:
        raise TscliError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except _Beyond:
        raise TscliError(
            f"{path}: cut off or damaged (what it says of itself goes beyond its {path.stat().st_size:,} bytes); "
            "download it again"
        ) from None


class _Beyond(Exception):
    """Something is said to lie where the file has ended."""


class _Head:
    """A place in the file, and what is read there."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 4

    def read(self, whole: Container[str]) -> GGUFHeader:
        version = self.number("I")
        if version not in VERSIONS:
            big = version in (item << 24 for item in VERSIONS)
            kind = "big-endian" if big else f"version {version}; versions 2 and 3 are read"
            raise TscliError(f"{self.path}: a GGUF file that cannot be read ({kind}); convert the model again with llama.cpp")
        num_tensors, num_keys = self.count(8 + 4 + 4 + 8), self.count(8 + 4 + 1)
        metadata = {}
        for _ in range(num_keys):
            key = self.text()
            metadata[key] = self.value(self.number("I"), whole=key in whole)
        if not isinstance(metadata.get("general.architecture"), str):
            raise TscliError(f"{self.path}: does not say which kind of model it is (general.architecture); {WAY_OUT}")
        entries = [self.tensor() for _ in range(num_tensors)]
        alignment = int(metadata.get("general.alignment", 32)) or 32
        start = -(-self.at // alignment) * alignment
        tensors = tuple(replace(tensor, start=start + tensor.start) for tensor in entries)
        if any(tensor.start + tensor.num_bytes > len(self.data) for tensor in tensors):
            raise _Beyond
        return GGUFHeader(self.path, metadata, tensors)

    def take(self, size: int) -> int:
        """Where `size` bytes begin that are read now."""
        if size > len(self.data) - self.at:
            raise _Beyond
        self.at += size
        return self.at - size

    def number(self, kind: str) -> Any:
        return struct.unpack_from("<" + kind, self.data, self.take(struct.calcsize("<" + kind)))[0]

    def count(self, smallest: int) -> int:
        """A number of things that take at least so many bytes each."""
        count = int(self.number("Q"))
        if count * smallest > len(self.data) - self.at:
            raise _Beyond
        return count

    def text(self) -> str:
        size = int(self.number("Q"))
        start = self.take(size)
        return self.data[start : start + size].decode("utf-8", "replace")

    def value(self, kind: int, *, whole: bool) -> Any:
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            raise TscliError(f"{self.path}: damaged, or newer than what is read here (a value of kind {kind}); {WAY_OUT}")
        kind = self.number("I")
        if kind in SCALARS:
            size = struct.calcsize("<" + SCALARS[kind])
            count = self.count(size)
            start = self.take(count * size)
            kept = count <= MOST_NUMBERS or whole
            return list(struct.unpack_from(f"<{count}{SCALARS[kind]}", self.data, start)) if kept else count
        if kind != STRING:
            raise TscliError(f"{self.path}: damaged, or newer than what is read here (a list of kind {kind}); {WAY_OUT}")
        count = self.count(8)
        if whole:
            return [self.text() for _ in range(count)]
        for _ in range(count):
            self.take(int(self.number("Q")))
        return count

    def tensor(self) -> GGUFTensor:
        """A tensor; it starts so many bytes behind the end of the head."""
        name = self.text()
        dimensions = self.number("I")
        if dimensions > 8:
            raise _Beyond
        shape = tuple(reversed([int(self.number("Q")) for _ in range(dimensions)]))
        kind, num_bytes = _stored(self.path, int(self.number("I")), prod(shape))
        return GGUFTensor(name, shape, kind, int(self.number("Q")), num_bytes)


def _stored(path: Path, kind: int, numel: int) -> tuple[str, int]:
    """What a tensor's kind is called, and the bytes that so many numbers of it take."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        known = GGMLQuantizationType(kind)
        numbers, size = GGML_QUANT_SIZES[known]
    except (ValueError, KeyError):
        raise TscliError(f"{path}: holds weights of a kind that is not known here (number {kind}); {WAY_OUT}") from None
    return known.name, numel // numbers * size
