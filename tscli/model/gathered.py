"""Attention of short sequences over rows that were gathered for them: dense, at compact positions, everything else unseen.

What a question's answer attends to is chosen once for all layers: the prefix, a few passages, what was said before. So each
layer gathers those rows once, rotates them to the places that they are given, and new tokens attend to them by ordinary dense
attention. Several sequences may go through the model together, such as one question behind each of many passages. Knows no
files and no text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from tscli.model.attention import sees
from tscli.model.growing_rows import ROOM, GrowingRows
from tscli.model.kv import KVState
from tscli.model.rotary import Rotator, Turn
from tscli.model.step import LayerCall
from tscli_kernels import attend_causal, attend_each

Watch = Callable[["Seen"], None]


class StopForward(Exception):
    """Raised inside a pass when nothing behind this layer is wanted; the decoder ends the pass there."""


@dataclass(frozen=True)
class Rows:
    """What a sequence attends to besides its own tokens, in the order in which it stands.

    positions: cached tokens, int64 [s], in any order. places: where they stand, int64 [s], ascending. next_place: of the first
    new token.
    """

    positions: Tensor
    places: Tensor
    next_place: int

    @classmethod
    def behind_each_other(cls, positions: Tensor) -> Rows:
        """At places 0, 1, ... without gaps."""
        return cls(positions, torch.arange(positions.shape[0], device=positions.device), int(positions.shape[0]))


@dataclass(frozen=True)
class Seen:
    """What one layer sees of one sequence: query [q_heads, t, head_dim] and key [kv_heads, s + t, head_dim], both rotated, and
    the same query before its rotation. rows: how many of the keys, the first ones, are the gathered rows."""

    layer: int
    sequence: int
    query: Tensor
    key: Tensor
    unrotated: Tensor
    rows: int
    scaling: float


class GatheredRun:
    """One or more sequences over gathered rows of a state; a decoder's layers call it instead of their own attention.

    Each pass brings as many new tokens of each sequence. keeps: later passes attend to the new keys and values of earlier ones,
    and those of the first sequence are appended to the state's tail. Without it nothing is left of the pass, unless it is to be
    `resumable`: then a run over some of its sequences may go on after its one pass (`resumed`).
    watch: told of each layer and sequence before it attends. last_layer: the pass ends there with `StopForward`.
    """

    def __init__(
        self,
        state: KVState,
        rotator: Rotator,
        rows: Sequence[Rows],
        *,
        keeps: bool = False,
        resumable: bool = False,
        watch: Watch | None = None,
        last_layer: int | None = None,
    ) -> None:
        self.state = state
        self.rotator = rotator
        self.rows = list(rows)
        self.keeps = keeps
        self.resumable = resumable
        self.watch = watch
        self.last_layer = last_layer
        self._sizes = [int(one.positions.shape[0]) for one in self.rows]
        self._most = max(self._sizes)
        self._wanted: tuple[Tensor, Tensor, Tensor, list[Tensor]] | None = None  # see _columns_wanted
        self._made = 0  # kept tokens of each sequence so far
        self._held: dict[int, GrowingRows] = {}  # per layer, [kv_heads, sequences, room, head_dim], where they are kept
        self._unrotated: dict[int, tuple[Tensor, Tensor]] = {}  # of a resumable pass: [kv_heads, sequences, t, head_dim]
        self._places: list[Tensor] = []  # of this pass: where the new tokens of each sequence stand
        self._turns: dict[tuple[bool, str | None], Turn] = {}  # of this pass: see _rotated
        self._masks: dict[int | None, Tensor] = {}  # of this pass, by sliding window

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """query [q_heads, n * t, head_dim], key and value [kv_heads, n * t, head_dim] of n sequences, unrotated, one sequence
        behind the other; [q_heads, n * t, head_dim]."""
        sequences, turned = len(self.rows), self._turned(query, call.layer)
        all_key, all_value = self._append(key, value, call.layer)
        if self.watch is not None:
            self._show(self.watch, turned, all_key, query, call)
        if call.layer == self.last_layer:
            raise StopForward
        if sequences == 1 and call.window is None:  # the rows are behind all new tokens
            return attend_causal(turned[:, 0], all_key[:, 0], all_value[:, 0], scaling=call.scaling, softcap=call.softcap)
        parts = (part.transpose(0, 1) for part in (turned, all_key, all_value))
        mask = self._mask(turned.shape[2], call.window, query.device, None if call.softcap else query.dtype)
        out = attend_each(*parts, mask=mask, scaling=call.scaling, softcap=call.softcap)
        return out.transpose(0, 1).flatten(1, 2)

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """Append keys and values, and show what there is to see; what the layer would give is not asked for."""
        if self.watch is not None:
            self(query, key, value, call)
        elif self.keeps:
            self._append(key, value, call.layer)

    @torch.inference_mode()
    def resumed(self, rows: Mapping[int, Rows], num_tokens: int, watch: Watch | None = None) -> GatheredRun:
        """A run that keeps, over some of this one's sequences, as if the first `num_tokens` of its one pass had been its own.

        rows: by sequence, those of its rows that are attended to from now on, at the places that they have there.
        """
        run = GatheredRun(self.state, self.rotator, list(rows.values()), keeps=True, watch=watch)
        first, wanted = next(iter(rows)), self._taken(rows, run._most, num_tokens)
        for layer, held in self._held.items():
            run._held[layer] = held.taken(*wanted)
            key, value = self._unrotated[layer]
            self.state.append(layer, key[:, first, :num_tokens], value[:, first, :num_tokens])
        self.state.tail_tokens += num_tokens
        run._made = num_tokens
        return run

    @torch.inference_mode()
    def joined(self, other: GatheredRun, sequences: Sequence[int], watch: Watch | None = None) -> GatheredRun:
        """A run that keeps, over this one's sequences and behind them some of another's, of which as many tokens were kept;
        only this one's are in the state."""
        parts = {self: dict(enumerate(self.rows)), other: {number: other.rows[number] for number in sequences}}
        every = [rows for own in parts.values() for rows in own.values()]
        run = GatheredRun(self.state, self.rotator, every, keeps=True, watch=watch)
        wanted = [(one._held, one._taken(own, run._most, one._made)) for one, own in parts.items()]
        for layer in self._held:
            run._held[layer] = GrowingRows.beside([held[layer].taken(*which) for held, which in wanted])
        run._made = self._made
        return run

    def _taken(self, rows: Mapping[int, Rows], most: int, num_tokens: int) -> tuple[Tensor, Tensor]:
        """Which sequences these are, int64 [m, 1], and in which columns these of their rows stand, behind as many others as
        make them `most`, and their first new tokens: int64 [m, most + num_tokens]."""
        columns = torch.stack([self._columns_of(number, own, most, num_tokens) for number, own in rows.items()])
        return torch.tensor(list(rows), device=self.state.device)[:, None], columns

    def _columns_of(self, sequence: int, rows: Rows, most: int, num_tokens: int) -> Tensor:
        """In which columns of a sequence these of its rows stand, behind as many others as make them `most`, and its first new
        tokens: int64 [most + num_tokens]."""
        before = self._most - self._sizes[sequence]
        there = before + torch.searchsorted(self.rows[sequence].places, rows.places)
        new = torch.arange(self._most, self._most + num_tokens, device=there.device)
        return pad(torch.cat([there, new]), (most - rows.places.shape[0], 0))

    def advance(self, num_tokens: int) -> None:
        """All layers have seen so many tokens, of all sequences together."""
        self._places, self._turns, self._masks, self._wanted = [], {}, {}, None
        if self.keeps:
            own = num_tokens // len(self.rows)
            self.state.advance(own)
            self._made += own
            num_tokens -= own
        self.state.tokens_run += num_tokens

    def _append(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """All keys, rotated, and values that the sequences attend to, the new ones behind the others, which end in one column:
        [kv_heads, sequences, all, head_dim] each."""
        new = self._turned(key, layer)
        t = new.shape[2]
        held = self._held.get(layer) or self._gather(layer, t)
        if self.keeps:
            self._held[layer] = held
            self.state.append(layer, key[:, :t], value[:, :t])
        elif self.resumable:
            self._held[layer] = held
            self._unrotated[layer] = key.unflatten(1, (-1, t)), value.unflatten(1, (-1, t))
        return held.append(new, value.unflatten(1, (len(self.rows), -1)))

    def _turned(self, x: Tensor, layer: int) -> Tensor:
        """New queries or keys [heads, n * t, head_dim], rotated to their places: [heads, n, t, head_dim]."""
        if not self._places:
            firsts, t = [rows.next_place + self._made for rows in self.rows], x.shape[1] // len(self.rows)
            self._places = [torch.arange(first, first + t, device=x.device) for first in firsts]
        return self._rotated(x, self._places, layer, last=True).to(x.dtype).unflatten(1, (len(self.rows), -1))

    def _rotated(self, x: Tensor, places: Sequence[Tensor], layer: int, *, last: bool) -> Tensor:
        """x [heads, all, head_dim] rotated to these places of each sequence, as `Turn` gives it; last: they are the last ones
        of each."""
        ends = [rows.next_place for rows in self.rows]
        lengths = [max(1, end + (self._made + own.shape[0] if last else 0)) for end, own in zip(ends, places, strict=True)]
        if not self.rotator.depends_on_length:
            which = (last, self.rotator.kind(layer))
            if which not in self._turns:  # the same for all layers of a kind
                self._turns[which] = self.rotator.turn(torch.cat(list(places)), layer, length=max(lengths))
            return self._turns[which](x)
        parts = zip(x.split([own.shape[0] for own in places], dim=1), places, lengths, strict=True)
        return torch.cat([self.rotator(part, own, layer, length=length) for part, own, length in parts], dim=1)

    def _show(self, watch: Watch, turned: Tensor, key: Tensor, query: Tensor, call: LayerCall) -> None:
        unrotated = query.unflatten(1, (len(self.rows), -1))
        for number, size in enumerate(self._sizes):
            own = key[:, number, self._most - size :]
            watch(Seen(call.layer, number, turned[:, number], own, unrotated[:, number], size, call.scaling))

    def _mask(self, t: int, window: int | None, device: torch.device, dtype: torch.dtype | None) -> Tensor:
        """What each new token sees: its sequence's rows, and new tokens causally, as far as they stand in a sliding window;
        [sequences, t, columns] bool, or, in this dtype, what is added to scores."""
        if window not in self._masks:
            asked = torch.stack(self._places)[..., None]  # [sequences, t, 1]
            there = torch.stack([self._columns(rows, t, device) for rows in self.rows])[:, None]
            mask = (there >= 0) & sees(asked, there, window)
            if dtype is not None:
                mask = torch.zeros(mask.shape, dtype=dtype, device=device).masked_fill_(~mask, -math.inf)
            self._masks[window] = mask
        return self._masks[window]

    def _columns(self, rows: Rows, t: int, device: torch.device) -> Tensor:
        """The place that stands in each column, -1 where none does: int64 [most + made + t]."""
        empty = torch.full((self._most - rows.places.shape[0],), -1, device=device)
        own = torch.arange(rows.next_place, rows.next_place + self._made + t, device=device)
        return torch.cat([empty, rows.places, own])

    def _gather(self, layer: int, new: int) -> GrowingRows:
        """The rows, keys rotated to their places, and values, with room for so many new tokens."""
        if self._wanted is None:
            self._wanted = self._columns_wanted(new + (ROOM if self.keeps else 0))
        unique, inverse, turned, places = self._wanted
        key, value = self.state.gather(layer, unique)
        keys = key.new_empty(key.shape[0], len(self.rows), inverse.shape[0] // len(self.rows), key.shape[2])
        if not self._most:
            return GrowingRows(keys, torch.empty_like(keys))
        shape = (len(self.rows), -1)
        keys[:, :, : self._most] = self._rotated(key.index_select(1, turned), places, layer, last=False).unflatten(1, shape)
        return GrowingRows(keys, value.index_select(1, inverse).unflatten(1, shape), self._most)

    def _columns_wanted(self, room: int) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Positions to gather, each once and ascending, as a state gathers; which of them stands in each column of all
        sequences, room for new tokens among these, and without it; the places of these. Columns on both sides of a sequence's
        rows hold any row: nobody sees it."""
        sides = [(self._most - size, room) for size in self._sizes]
        places = [pad(rows.places, (self._most - size, 0)) for rows, size in zip(self.rows, self._sizes, strict=True)]
        if not self._most:
            nothing = torch.zeros(0, dtype=torch.int64, device=places[0].device)
            return nothing, nothing.new_zeros(len(self.rows) * room), nothing, places
        any_row = int(next(rows.positions[0] for rows in self.rows if rows.positions.shape[0]))
        every = torch.cat([pad(rows.positions, side, value=any_row) for rows, side in zip(self.rows, sides, strict=True)])
        unique, inverse = torch.unique(every, return_inverse=True)
        return unique, inverse, inverse.unflatten(0, (len(self.rows), -1))[:, : self._most].flatten(), places
