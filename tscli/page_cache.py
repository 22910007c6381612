"""Has the kernel read what a first question needs of libraries, while Python is still busy with imports. Free of torch."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread

from tscli.errors import UsageError
from tscli.paths import MANIFEST, library_folder

SHARE = 0.5  # of the memory that is to be had
KEYS = 0.5  # of a segment's file, its first part: what is selected from; of the values a question needs a few
END_BYTES = 1 << 16


def read_ahead(names: Sequence[str]) -> Thread:
    """Begin to read sketches, contexts and keys of these libraries into the page cache; the thread that does so, started.

    What is there already is left as it is, and no more is read than half of the memory that is to be had. Says nothing of a
    library that is missing or damaged: whoever opens it will.
    """
    thread = Thread(target=_read, args=(list(names),), daemon=True)
    thread.start()
    return thread


def _read(names: list[str]) -> None:
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, UsageError):
        room = SHARE * _available_bytes()
        with open(os.devnull, "wb") as nowhere:
            files = [file for name in names for file in _files(library_folder(name))]
            for path, _ in files:
                _read_end(path)
            for path, share in files:
                size = int(share * path.stat().st_size)
                room -= size
                if room < 0:
                    return
                _pass_through(path, size, nowhere.fileno())


def _read_end(path: Path) -> None:
    """A file's contents are listed at its end: opening a library would wait for each behind all that is read of the others."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # and nothing around it
        os.pread(descriptor, END_BYTES, max(0, os.fstat(descriptor).st_size - END_BYTES))
    finally:
        os.close(descriptor)


def _pass_through(path: Path, size: int, nowhere: int) -> None:
    """Have the first so many bytes in the page cache. Sent nowhere, they are copied nowhere, and the interpreter's lock is
    waited for but once a file; of what posix_fadvise is told it will need, Linux reads a few MiB."""
    descriptor, done = os.open(path, os.O_RDONLY | os.O_NONBLOCK), 0
    try:
        while done < size and (sent := os.sendfile(nowhere, descriptor, done, size - done)):
            done += sent
    finally:
        os.close(descriptor)


def _files(folder: Path) -> Iterator[tuple[Path, float]]:
    """What is read, in the order in which it is needed, and how much of each."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for name in (manifest["sketch_file"], manifest["context_file"]):
        if name:
            yield folder / name, 1.0
    for segment in manifest["segments"]:
        yield folder / "segments" / f"{segment['id']}.pt", KEYS


def _available_bytes() -> int:
    """Memory that programs can have, the page cache's included."""
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return 1024 * int(fields["MemAvailable"].split()[0])
