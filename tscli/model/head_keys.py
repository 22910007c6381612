"""The committed keys of one kv head at a time, read where they lie: what retrieval heads vote on.

Knows no files.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tscli.model.pages import Pages
from tscli.selection.retrieval_heads import head_votes
from tscli_kernels import PAGE_SCALE, GpuPageTable, KeyTable, score_head, vote_on_keys

SCORED_TOGETHER = 8192  # keys of one head, in float32, that are multiplied at once
QUERY_BATCH = 32  # queries whose scores are held at a time


@dataclass(frozen=True)
class KeyRun:
    """Keys that lie behind each other, of adjacent positions from `start` on: by (layer, kv head), [n, head_dim], and of int8
    ones the scales [n]. stop: behind the last of them."""

    start: int
    stop: int
    keys: Mapping[tuple[int, int], tuple[Tensor, Tensor | None]]


class HeadKeys:
    """Those of these segments, which begin at these positions; valid as long as the segments are.

    runs: the keys of some heads once more, each of the positions of whole segments, ascending; read instead of these.
    """

    def __init__(
        self, segments: Sequence[Pages], starts: Sequence[int], device: torch.device, runs: Sequence[KeyRun] = ()
    ) -> None:
        self._segments = list(segments)
        self._starts = list(starts)
        self._device = device
        self._runs = list(runs)
        self._views: dict[tuple[int, int, int, int], tuple[list[Tensor], Tensor | None]] = {}
        self._tables: dict[tuple[int, int, int, int], KeyTable | None] = {}
        self._room = torch.empty(0, dtype=torch.float32, device=device)  # the scores: new memory for each scan is slower

    def votes(self, layer: int, kv_head: int, query: Tensor, start: int, stop: int, out: Tensor, rows: Sequence[int]) -> None:
        """Soft votes (paper, Eq. 7) of heads that share one kv head on its keys at committed positions [start, stop).

        query: float32 [heads, t, head_dim]. out: float32 [m, stop - start]; rows: of each head.
        """
        if (table := self._table(layer, kv_head, start, stop)) is not None:
            vote_on_keys(query, table, out, rows)
            return
        heads, num_queries, _ = query.shape
        together = max(1, QUERY_BATCH // num_queries)
        for first in range(0, heads, together):
            part = query[first : first + together]
            scores = self.scores(layer, kv_head, part.flatten(0, 1), start, stop)
            for row, own in zip(rows[first : first + together], scores.split(num_queries), strict=True):
                head_votes(own, out[row])

    def scores(self, layer: int, kv_head: int, query: Tensor, start: int, stop: int) -> Tensor:
        """Dot products of query [t, head_dim] with the keys of one kv head at committed positions [start, stop); float32
        [t, stop - start], valid until the next call. No other head's keys are read."""
        wanted = query.shape[0] * (stop - start)
        if self._room.shape[0] < wanted:
            self._room = torch.empty(wanted, dtype=torch.float32, device=query.device)
        out = self._room[:wanted].view(query.shape[0], stop - start)
        if self._gpu_table is not None:
            score_head(query, self._gpu_table, layer, kv_head, start, out)
            return out
        keys = torch.empty(SCORED_TOGETHER, query.shape[1], dtype=query.dtype, device=query.device)
        views, sizes = self._keys(layer, kv_head, start, stop)
        at, filled = 0, 0
        for key in views:
            num = key.shape[:-1].numel()
            if filled + num > SCORED_TOGETHER:
                _score(query, keys[:filled], None if sizes is None else sizes[at : at + filled], out[:, at : at + filled])
                at, filled = at + filled, 0
            keys[filled : filled + num].view(key.shape).copy_(key)
            filled += num
        _score(query, keys[:filled], None if sizes is None else sizes[at:], out[:, at:])
        return out

    @cached_property
    def _gpu_table(self) -> GpuPageTable | None:
        """Where the keys lie on a GPU, which scores them there without a copy; None where they do not."""
        scales = [segment.scales[0] for segment in self._segments if segment.scales is not None]
        keys, counts = [segment.key for segment in self._segments], [segment.num_tokens for segment in self._segments]
        return GpuPageTable.of_segments(keys, counts, scales) if self._device.type == "cuda" else None

    def _table(self, layer: int, kv_head: int, start: int, stop: int) -> KeyTable | None:
        """Where one kv head's keys lie, for the compiled loops; None where these do not take them."""
        asked = (layer, kv_head, start, stop)
        if asked not in self._tables:
            views, scales = ([], None) if self._device.type != "cpu" else self._keys(*asked)
            self._tables[asked] = None if scales is None else KeyTable.of_parts(views, scales)
        return self._tables[asked]

    def _keys(self, layer: int, kv_head: int, start: int, stop: int) -> tuple[list[Tensor], Tensor | None]:
        """One kv head's keys at committed positions [start, stop) as they lie: [pages, page_size, head_dim] or, of a part of a
        page or a run, [n, head_dim]; and int8 ones' scales [stop - start], one behind the other. Made once: a million tokens of
        short segments are thousands of views."""
        asked = (layer, kv_head, start, stop)
        if asked not in self._views:
            views, scales, is_scaled = list[Tensor](), list[Tensor](), False
            for key, scale in self._new_views(*asked):
                is_scaled |= scale is not None
                views.append(key)
                scales.append(key.new_ones(key.shape[:-1].numel(), dtype=PAGE_SCALE) if scale is None else scale.flatten())
            self._views[asked] = views, torch.cat([part.to(self._device) for part in scales]) if is_scaled else None
        return self._views[asked]

    def _new_views(self, layer: int, kv_head: int, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        for segment, first in zip(self._segments, self._starts, strict=True):
            low, high = max(start, first), min(stop, first + segment.num_tokens)
            if low >= high:
                continue
            if (run := self._run_of(layer, kv_head, first)) is not None:
                yield from _of_run(run, layer, kv_head, low, high)
                continue
            key, page_size = segment.key[layer], segment.key.shape[3]
            scale = None if segment.scales is None else segment.scales[0][layer]
            for pages, slots in _spans(low - first, high - first, page_size):
                yield key[pages, kv_head, slots], None if scale is None else scale[pages, kv_head, slots]

    def _run_of(self, layer: int, kv_head: int, position: int) -> KeyRun | None:
        """The run with this head's key of a position."""
        place = bisect_right(self._runs, position, key=lambda run: run.start) - 1
        run = self._runs[place] if place >= 0 else None
        return run if run is not None and (layer, kv_head) in run.keys and position < run.stop else None


def _of_run(run: KeyRun, layer: int, kv_head: int, low: int, high: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Keys and scales of positions [low, high)."""
    key, scale = run.keys[layer, kv_head]
    for at in range(low - run.start, high - run.start, SCORED_TOGETHER):
        part = slice(at, min(high - run.start, at + SCORED_TOGETHER))
        yield key[part], None if scale is None else scale[part]


def _spans(low: int, high: int, page_size: int) -> Iterator[tuple[int | slice, slice]]:
    """Slots [low, high) as pages and slots of them: whole pages together, parts by themselves."""
    while low < high:
        page, slot = divmod(low, page_size)
        whole = 0 if slot else min(high - low, SCORED_TOGETHER) // page_size
        end = min(page_size, slot + min(high - low, SCORED_TOGETHER))
        yield (slice(page, page + whole), slice(None)) if whole else (page, slice(slot, end))
        low += whole * page_size or end - slot


def _score(query: Tensor, keys: Tensor, sizes: Tensor | None, out: Tensor) -> None:
    """query [t, head_dim] times keys [n, head_dim], and their scales [n], to out [t, n]."""
    found = query @ keys.T
    if sizes is None:
        out.copy_(found)
    else:
        torch.mul(found, sizes, out=out)
