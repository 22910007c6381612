"""The keys and values of one run: committed pages (read only, as the store maps them) followed by a tail in memory.

Keys are held before RoPE. Knows neither files nor selection; the store's segments fulfil `Pages`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from tscli.model.head_keys import HeadKeys, KeyRun
from tscli.model.pages import Pages
from tscli.selection.sketch import Scan
from tscli_kernels import (
    PageTable,
    copy_rows,
    expand_rows,
    row_index,
    score_pages,
    score_rows,
    score_table,
    take_rows,
)


class KVState:
    """Committed pages plus a growing tail; positions count through both."""

    def __init__(
        self,
        segments: Sequence[Pages],
        *,
        layers: int,
        kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.segments: list[Pages] = []
        self.starts: list[int] = []
        self.committed = 0
        self._shape = (layers, kv_heads, head_dim)
        self._dtype = dtype
        self._device = device
        self._tail = self._allocate(0)
        self.tail_tokens = 0
        self.tokens_run = 0  # that have passed through the model, forgotten ones too
        self.sketch: Scan | None = None  # of the committed tokens
        self.wait_for_layer: Callable[[int], None] | None = None  # returns once a layer's committed pages are there
        self._tables: tuple[list[PageTable], list[PageTable]] | None = None  # of keys, and of values
        self._parted: tuple[Tensor, list[tuple[Pages | None, Tensor]]] | None = None  # the last positions that were gathered
        self._head_keys = HeadKeys([], [], device)
        for segment in segments:
            self.extend(segment)

    def beside(self) -> KVState:
        """Another run over the same pages, sketch and views of them, with an empty tail of its own."""
        layers, kv_heads, head_dim = self._shape
        other = KVState(
            self.segments, layers=layers, kv_heads=kv_heads, head_dim=head_dim, dtype=self._dtype, device=self._device
        )
        other.sketch, other.wait_for_layer = self.sketch, self.wait_for_layer
        other._tables, other._head_keys = self._tables, self._head_keys
        return other

    @property
    def layers(self) -> int:
        """Of the model."""
        return self._shape[0]

    @property
    def kv_heads(self) -> int:
        """Key/value heads per layer."""
        return self._shape[1]

    @property
    def device(self) -> torch.device:
        """Where the keys and values lie."""
        return self._device

    @property
    def is_read_compiled(self) -> bool:
        """Whether the committed tokens are scored and copied by loops compiled for this processor."""
        return self._table(0, 0) is not None

    @property
    def length(self) -> int:
        """Tokens held: committed and tail."""
        return self.committed + self.tail_tokens

    def extend(self, segment: Pages) -> None:
        """Take a committed segment behind the others; the tail must be empty."""
        if self.tail_tokens:
            raise ValueError("the tail must be taken or cropped before pages are added")
        if self.segments and segment.key.shape[3] != self.segments[0].key.shape[3]:
            raise ValueError("pages of one size cannot follow those of another")
        self.segments.append(segment)
        self.starts.append(self.committed)
        self.committed += segment.num_tokens
        self._tables = None
        self._parted = None
        self._head_keys = HeadKeys(self.segments, self.starts, self._device)

    def use_runs(self, runs: Sequence[KeyRun]) -> None:
        """From now on retrieval heads read their keys there, as far as they are there, until segments are added."""
        self._head_keys = HeadKeys(self.segments, self.starts, self._device, runs)

    def append(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Write the keys and values of new tokens, [kv_heads, t, head_dim] each, behind the tail; `advance` counts them."""
        stop = self.tail_tokens + key.shape[1]
        if stop > self._tail.shape[3]:
            grown = self._allocate(max(stop, 2 * self._tail.shape[3], 256))
            grown[:, :, :, : self.tail_tokens] = self._tail[:, :, :, : self.tail_tokens]
            self._tail = grown
        self._tail[0, layer, :, self.tail_tokens : stop] = key
        self._tail[1, layer, :, self.tail_tokens : stop] = value

    def advance(self, num_tokens: int) -> None:
        """All layers have appended so many tokens."""
        self.tail_tokens += num_tokens
        self.tokens_run += num_tokens

    def crop(self) -> None:
        """Forget the tail: the state is as its committed pages are."""
        self.tail_tokens = 0

    def rewind(self, length: int) -> None:
        """Forget everything from position `length` on, which must lie in the tail."""
        if not self.committed <= length <= self.length:
            raise ValueError(f"{length} lies outside the tail, [{self.committed}, {self.length}]")
        self.tail_tokens = length - self.committed

    def copy_tail(self, layer: int, page_size: int) -> tuple[Tensor, Tensor]:
        """A copy of a layer's tail as pages: key, value [pages, kv_heads, page_size, head_dim]; the last is zero-padded."""
        _, kv_heads, head_dim = self._shape
        pages = -(-self.tail_tokens // page_size)
        padded = self._tail.new_zeros(2, kv_heads, pages * page_size, head_dim)
        padded[:, :, : self.tail_tokens] = self._tail[:, layer, :, : self.tail_tokens]
        key, value = padded.view(2, kv_heads, pages, page_size, head_dim).transpose(1, 2).contiguous()
        return key, value

    def scores(self, layer: int, query: Tensor, stop: int) -> Tensor:
        """Dot products of query [q_heads, head_dim] with the first `stop` cached keys; [q_heads, stop] float32."""
        out = torch.empty(query.shape[0], stop, dtype=torch.float32, device=query.device)
        if (table := self._table(layer, 0)) is not None:
            score_table(query, table, min(stop, self.committed), out)
        for segment, start in [] if table else zip(self.segments, self.starts, strict=True):
            if (count := min(segment.num_tokens, stop - start)) > 0:
                pages, part = segment.key[layer], out[:, start : start + count]
                scale = None if segment.scales is None else segment.scales[0][layer]
                if pages.device == query.device:
                    score_pages(query, pages, count, out=part, scale=scale)
                else:  # a library beyond the device's memory is scored where it lies
                    part.copy_(score_pages(query.to(pages.device), pages, count, scale=scale))
        if (count := stop - self.committed) > 0:
            tail = self._tail[0, layer][None, :, :count]  # one page as long as needed
            score_pages(query, tail, count, out=out[:, self.committed : stop])
        return out

    def head_votes(
        self, layer: int, kv_head: int, query: Tensor, start: int, stop: int, out: Tensor, rows: Sequence[int]
    ) -> None:
        """Soft votes on the keys of one kv head at committed positions [start, stop), once they are there: see
        `HeadKeys.votes`."""
        if self.wait_for_layer is not None:
            self.wait_for_layer(layer)
        self._head_keys.votes(layer, kv_head, query, start, stop, out, rows)

    def scores_at(self, layer: int, query: Tensor, positions: Tensor) -> Tensor:
        """Dot products of query [q_heads, head_dim] with the keys at ascending positions (int64 [n]); [q_heads, n] float32."""
        table = self._table(layer, 0)
        if table is None:
            return score_pages(query, self.keys_at(layer, positions)[None], positions.shape[0])
        old, new = self._split(positions)
        scores = score_rows(query, table, old)
        if not new.shape[0]:
            return scores
        tail = score_pages(query, self._tail[0, layer].index_select(1, new)[None], new.shape[0])
        return torch.cat([scores, tail], dim=1)

    def gather(self, layer: int, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values at ascending positions (int64 [n]); [kv_heads, n, head_dim] each."""
        key, value = self._table(layer, 0), self._table(layer, 1)
        if key is not None and value is not None:
            return self._copied(layer, 0, key, positions), self._copied(layer, 1, value, positions)
        if self._parted is None or self._parted[0] is not positions:  # the same for each layer
            self._parted = positions, self._parts(positions)
        parts = self._parted[1]
        return self._rows(layer, 0, parts), self._rows(layer, 1, parts)

    def whole_pages(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """Key and value pages of all committed tokens, slot by slot, where they lie on a GPU in one piece and in the model's
        dtype; else None."""
        whole = self.segments[0] if len(self.segments) == 1 else None
        if whole is None or not whole.key.is_cuda or whole.scales is not None or whole.key.dtype != self._dtype:
            return None
        if self.wait_for_layer is not None:
            self.wait_for_layer(layer)
        return whole.key[layer], whole.value[layer]

    def tail_at(self, layer: int, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values at positions (int64 [n]) behind the committed tokens; [kv_heads, n, head_dim] each."""
        rows = positions - self.committed
        return self._tail[0, layer].index_select(1, rows), self._tail[1, layer].index_select(1, rows)

    def keys_at(self, layer: int, positions: Tensor) -> Tensor:
        """Keys at ascending positions (int64 [n]); [kv_heads, n, head_dim]."""
        table = self._table(layer, 0)
        return self._rows(layer, 0, self._parts(positions)) if table is None else self._copied(layer, 0, table, positions)

    def _table(self, layer: int, which: int) -> PageTable | None:
        """Where the committed keys (which 0) or values (1) lie, once they are there; None where the compiled loops do not read
        them."""
        if self.wait_for_layer is not None:
            self.wait_for_layer(layer)
        if self._tables is None:
            self._tables = self._new_tables(0), self._new_tables(1)
        return self._tables[which][layer] if self._tables[which] else None

    def _new_tables(self, which: int) -> list[PageTable]:
        """Of each layer's committed keys (0) or values (1), or none."""
        if self._device.type != "cpu" or not self.segments:  # what a GPU does not hold is scored segment by segment
            return []
        pages = [part.value if which else part.key for part in self.segments]
        scales = [part.scales[which] for part in self.segments if part.scales is not None]
        return PageTable.of_layers(pages, [part.num_tokens for part in self.segments], scales)

    def _split(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Ascending positions of the committed tokens, and places in the tail of the others."""
        old = int(torch.searchsorted(positions, self.committed))
        return positions[:old], positions[old:] - self.committed

    def _copied(self, layer: int, which: int, table: PageTable, positions: Tensor) -> Tensor:
        """Keys (which 0) or values (1) at ascending positions, [kv_heads, n, head_dim]."""
        old, new = self._split(positions)
        out = torch.empty(self._shape[1], positions.shape[0], self._shape[2], dtype=self._dtype)
        if table.dtype == self._dtype:
            copy_rows(table, old, out)
        else:
            out[:, : old.shape[0]] = _expanded(table, old)
        out[:, old.shape[0] :] = self._tail[which, layer].index_select(1, new)
        return out

    def _parts(self, positions: Tensor) -> list[tuple[Pages | None, Tensor]]:
        """Which segment holds which positions, as rows of its pages [kv_heads, n]; None: the tail, as places [n] in it."""
        starts = torch.tensor([*self.starts, self.committed], device=positions.device)
        bounds = torch.searchsorted(positions, starts)
        local = positions - starts.repeat_interleave(bounds.diff(append=bounds.new_tensor([positions.shape[0]])))
        lows = bounds.tolist()
        parts: list[tuple[Pages | None, Tensor]] = []
        if self.segments:
            rows = row_index(local[: lows[-1]], self._shape[1], self.segments[0].key.shape[3])
            held = zip(self.segments, pairwise(lows), strict=True)
            parts = [(segment, rows[:, low:high]) for segment, (low, high) in held if high > low]
        return [*parts, (None, local[lows[-1] :])] if lows[-1] < positions.shape[0] else parts

    def _rows(self, layer: int, which: int, parts: list[tuple[Pages | None, Tensor]]) -> Tensor:
        """Keys (which 0) or values (1) of these parts, one behind the other."""
        rows = [
            self._tail[which, layer].index_select(1, local)
            if segment is None
            else _gathered(segment, which, layer, local).to(self._dtype)
            for segment, local in parts
        ]
        return torch.cat(rows, dim=1) if rows else self._tail.new_empty(self._shape[1], 0, self._shape[2])

    def _allocate(self, capacity: int) -> Tensor:
        layers, kv_heads, head_dim = self._shape
        return torch.empty(2, layers, kv_heads, capacity, head_dim, dtype=self._dtype, device=self._device)


def _expanded(table: PageTable, positions: Tensor) -> Tensor:
    """Rows of pages of another dtype at ascending positions, [kv_heads, n, head_dim]; int8 ones times their scales."""
    rows = torch.empty(table.kv_heads, positions.shape[0], table.head_dim, dtype=table.dtype)
    copy_rows(table, positions, rows)
    if table.scales is None:
        return rows
    sizes = torch.empty(table.kv_heads, positions.shape[0], 1, dtype=table.scales.dtype)
    copy_rows(table.scales, positions, sizes)
    return expand_rows(rows, sizes[..., 0])


def _gathered(segment: Pages, which: int, layer: int, rows: Tensor) -> Tensor:
    """Keys (which 0) or values (1) in these rows of a segment, expanded where its pages are int8, on the device of the index
    wherever the pages lie."""
    pages = (segment.value if which else segment.key)[layer]
    scale = None if segment.scales is None else segment.scales[which][layer]
    return take_rows(pages, rows.to(pages.device), scale).to(rows.device)
