"""Filling a depth that would take too long to prefill: the pages of a real beginning are repeated up to it.

Keys are held before RoPE, and documents are read each by itself, so that pages are as good in any place. Every copy has memory
of its own, as that many documents would have: in files, mapped as a library's are, where memory has no room for them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from tscli.bench.rows import Unavailable
from tscli.bench.setting import Bench
from tscli.library.layout import DevicePages
from tscli.model.kv import KVState
from tscli.model.pages import Pages
from tscli.store import load_tensors, save_tensors

PREFIX = 32_768  # tokens that are prefilled where a whole prefill would take too long
COPIES = 1.5  # of the keys and values: while they are made


class Room:
    """Where copies of pages are put: memory, or files of a folder that is thrown away."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._numbers = count()

    @property
    def is_disk(self) -> bool:
        """Whether pages are mapped files."""
        return self._folder is not None

    def keep(self, pages: Pages) -> Pages:
        """Pages that were just made: themselves in memory, a file of them on the disk."""
        return pages if self._folder is None else self._mapped(pages, self._folder)

    def copy(self, pages: Pages) -> Pages:
        """The same pages once more; ResourceError where the disk is full."""
        if self._folder is not None:
            return self._mapped(pages, self._folder)
        scales = None if pages.scales is None else (pages.scales[0].clone(), pages.scales[1].clone())
        return DevicePages(pages.key.clone(), pages.value.clone(), pages.num_tokens, scales)

    def _mapped(self, pages: Pages, folder: Path) -> Pages:
        path = folder / f"{next(self._numbers)}.pt"
        tensors = {"key": pages.key.contiguous(), "value": pages.value.contiguous()}
        if pages.scales is not None:
            tensors |= {"key_scale": pages.scales[0].contiguous(), "value_scale": pages.scales[1].contiguous()}
        save_tensors(path, tensors)
        held = load_tensors(path)
        scales = None if pages.scales is None else (held["key_scale"], held["value_scale"])
        return DevicePages(held["key"], held["value"], pages.num_tokens, scales)


@contextmanager
def room_for(bench: Bench, length: int) -> Iterator[Room]:
    """Room for a context of TokenSelect's pages: memory where they fit, else the folder for temporary files; Unavailable where
    neither has so much."""
    if (reason := bench.shortage(length, COPIES, "tokenselect")) is None:
        yield Room()
        return
    with TemporaryDirectory(prefix="tscli-bench-") as folder:
        needed, free = bench.kv_bytes("tokenselect", length), shutil.disk_usage(folder).free
        if needed > free:
            raise Unavailable(
                f"{reason}; on disk they need {needed / 2**30:,.1f} GiB, {free / 2**30:,.1f} GiB are free in "
                f"{Path(folder).parent}: choose --kv-dtype int8, or set TMPDIR to a folder with room"
            )
        bench.say(f"{reason}: {needed / 2**30:,.1f} GiB of pages are mapped from {Path(folder).parent}")
        yield Room(Path(folder))


def fill(state: KVState, length: int, room: Room | None = None) -> None:
    """Put the state's pages behind it again until it holds `length` tokens; room: None repeats them without a copy, for what
    makes a copy of its own."""
    for pages in cycle(list(state.segments)):
        left = length - state.committed
        if left <= 0:
            return
        part = pages if pages.num_tokens <= left else _beginning(pages, left)
        state.extend(part if room is None else room.copy(part))


def _beginning(pages: Pages, num_tokens: int) -> DevicePages:
    stop = -(-num_tokens // pages.key.shape[3])
    scales = None if pages.scales is None else (pages.scales[0][:, :stop], pages.scales[1][:, :stop])
    return DevicePages(pages.key[:, :stop], pages.value[:, :stop], num_tokens, scales)
