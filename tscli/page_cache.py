"""Has the kernel read the files that a first question needs, while Python is still importing. Free of torch."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from tscli.errors import UsageError
from tscli.memory import available_bytes
from tscli.paths import MANIFEST, library_folder, retrieval_heads_file, shipped_retrieval_heads_file

SHARE = 0.5  # of the memory that is to be had
KEYS = 0.5  # of a segment's file, its first part: what is selected from; of the values a question needs a few
END_BYTES = 1 << 16
PART_BYTES = 8 << 20  # of a file that is read whole, by one thread at a time
AROUND = 1 << 14  # bytes read on both sides of what is wanted of a segment: its own header stands before the keys
THREADS = 4  # a cold disk answers several at once
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
SCALE_BYTES = 2  # of a row of int8 pages
Part = tuple[Path, int, int]  # bytes [start, stop) of a file


def read_ahead(names: Sequence[str]) -> Thread:
    """Begin to read sketches, contexts and keys of these libraries into the page cache; the thread that does so, started.

    Where a few heads vote, only their keys are read, or those of their layers. What is there already is left as it is, and no
    more is read than half of the memory that is to be had. Says nothing of a library that is missing or damaged: whoever opens
    it will.
    """
    thread = Thread(target=_read, args=(list(names),), daemon=True)
    thread.start()
    return thread


def _read(names: list[str]) -> None:
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, UsageError):
        libraries = [(folder, json.loads((folder / MANIFEST).read_bytes())) for folder in map(library_folder, names)]
        parts = [part for library in libraries for part in _parts(*library)]
        ends = [end for library in libraries for path in dict.fromkeys(_files(*library)) for end in _ends(path)]
        waiting = iter(list(_within(SHARE * (available_bytes() or 0), [*ends, *parts])))
        threads = list[Thread]()
        with contextlib.suppress(RuntimeError):  # so little memory is left that no more of them can be started
            for _ in range(THREADS - 1):
                thread = Thread(target=_pass_through, args=(waiting,), daemon=True)
                thread.start()
                threads.append(thread)
        _pass_through(waiting)
        for thread in threads:
            thread.join()


def _within(room: float, parts: list[Part]) -> Iterator[Part]:
    """The first parts that fit in so many bytes."""
    for path, start, stop in parts:
        room -= stop - start
        if room < 0:
            return
        yield path, start, stop


def _ends(path: Path) -> Iterator[Part]:
    """A file's contents are listed at its end and described at its beginning: opening a library would wait for both of each
    file, behind all that is read of the others."""
    size = path.stat().st_size
    yield path, max(0, size - END_BYTES), size
    yield path, 0, min(size, AROUND)


def _pass_through(parts: Iterator[Part]) -> None:
    """Have parts in the page cache. Sent nowhere, they are copied nowhere, and the interpreter's lock is waited for but once a
    part; of what posix_fadvise is told it will need, Linux reads a few MiB."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        for path, start, stop in parts:
            descriptor, at = os.open(path, os.O_RDONLY | os.O_NONBLOCK), start
            try:
                while at < stop and (sent := os.sendfile(nowhere.fileno(), descriptor, at, stop - at)):
                    at += sent
            finally:
                os.close(descriptor)


def _files(folder: Path, manifest: dict[str, Any]) -> Iterator[Path]:
    """All that opening a library opens."""
    named = (manifest["sketch_file"], manifest["context_file"], manifest.get("head_keys_file"))
    yield from (folder / name for name in named if name)
    yield from (folder / "segments" / f"{segment['id']}.pt" for segment in manifest["segments"])


def _parts(folder: Path, manifest: dict[str, Any]) -> Iterator[Part]:
    """What is read, in the order in which it is needed."""
    layers = [] if manifest["sketch_file"] else _voting_layers(manifest.get("fingerprint", {}).get("model_hash", ""))
    covered = layers and {layer for layer, _ in manifest.get("head_keys", ())}.issuperset(layers)
    for name in (manifest["sketch_file"], manifest["context_file"], manifest["head_keys_file"] if covered else ""):
        if name:
            stop = (folder / name).stat().st_size
            yield from ((folder / name, start, min(stop, start + PART_BYTES)) for start in range(0, stop, PART_BYTES))
    for segment in [] if covered else manifest["segments"]:
        path = folder / "segments" / f"{segment['id']}.pt"
        if layers:
            yield from _keys_of(path, layers, segment["num_tokens"], manifest["fingerprint"])
        else:
            yield path, 0, int(KEYS * path.stat().st_size)


def _keys_of(path: Path, layers: list[int], num_tokens: int, made: dict[str, Any]) -> Iterator[Part]:
    """Where the keys of these layers lie in a segment's file, and behind keys and values their scales, where there are any."""
    size, rows = path.stat().st_size, -(-num_tokens // made["page_size"]) * made["page_size"] * made["num_kv_heads"]
    width = ITEM_BYTES[made.get("kv_dtype") or made["dtype"]] * made["head_dim"] * rows
    starts = [(layer * width, width) for layer in layers]
    if made.get("kv_dtype") == "int8":
        before, scales = 2 * made["num_layers"] * width, SCALE_BYTES * rows
        starts += [(before + layer * scales, scales) for layer in layers]
    yield from ((path, max(0, start - AROUND), min(size, start + count + AROUND)) for start, count in starts)


def _voting_layers(model_hash: str) -> list[int]:
    """Layers with calibrated retrieval heads of the model with these weights; none where it has none."""
    for file in (retrieval_heads_file(model_hash), shipped_retrieval_heads_file(model_hash)):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return sorted({int(layer) for layer, _ in json.loads(file.read_bytes())["heads"]})
    return []
