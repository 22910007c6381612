"""Attention of short sequences over rows that were gathered for them: dense, at compact positions, everything else unseen.

What a question's answer attends to is chosen once for all layers: the prefix, a few passages, what was said before. So each
layer gathers those rows once, rotates them to the places that they are given, and new tokens attend to them by ordinary dense
attention. Several sequences may go through the model together, such as one question behind each of many passages. Knows no
files and no text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tscli.model.kv import KVState
from tscli.model.rotary import Rotator
from tscli.model.step import LayerCall
from tscli_kernels import attend, attend_causal

Watch = Callable[["Seen"], None]


class Enough(Exception):
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


class _Held:
    """Rotated keys and values that one sequence attends to in one layer; the buffers grow by half."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        """key, value: the gathered rows, [kv_heads, s, head_dim] each."""
        self._key = key
        self._value = value
        self._filled = key.shape[1]

    def with_these(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All of them, behind new ones: [kv_heads, s + t, head_dim] each."""
        start, stop = self._filled, self._filled + key.shape[1]
        if stop > self._key.shape[1]:
            room = stop + max(64, stop - start, self._key.shape[1] // 2)
            grown = [part.new_empty(part.shape[0], room, part.shape[2]) for part in (self._key, self._value)]
            for new, old in zip(grown, (self._key, self._value), strict=True):
                new[:, :start] = old[:, :start]
            self._key, self._value = grown
        self._key[:, start:stop], self._value[:, start:stop] = key, value
        self._filled = stop
        return self._key[:, :stop], self._value[:, :stop]


class GatheredRun:
    """One or more sequences over gathered rows of a state; a decoder's layers call it instead of their own attention.

    keeps: later passes attend to the new keys and values of earlier ones, and those of the first sequence are appended to the
    state's tail. Without it nothing is left of the pass. sizes: tokens of each sequence in this pass; None: as many of each.
    watch: told of each layer and sequence before it attends. last_layer: the pass ends there with `Enough`.
    """

    def __init__(
        self,
        state: KVState,
        rotator: Rotator,
        rows: Sequence[Rows],
        *,
        sizes: Sequence[int] | None = None,
        keeps: bool = False,
        watch: Watch | None = None,
        last_layer: int | None = None,
    ) -> None:
        if keeps and sizes is not None:
            raise ValueError("sequences that are kept go on in step")
        self.state = state
        self.rotator = rotator
        self.rows = list(rows)
        self.sizes = sizes
        self.keeps = keeps
        self.watch = watch
        self.last_layer = last_layer
        self._made = 0  # kept tokens of each sequence so far
        self._held: dict[int, list[_Held]] = {}  # per layer, of each sequence that is kept

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """query [q_heads, t, head_dim], key and value [kv_heads, t, head_dim], unrotated, the sequences one behind the other;
        [q_heads, t, head_dim]."""
        sizes = list(self.sizes or [query.shape[1] // len(self.rows)] * len(self.rows))
        held = self._held.get(call.layer) or [_Held(*pair) for pair in self._gather(call.layer)]
        parts = zip(*(part.split(sizes, dim=1) for part in (query, key, value)), strict=True)
        out = [self._attend(number, q, k, v, call, held[number]) for number, (q, k, v) in enumerate(parts)]
        if self.keeps:
            self._held[call.layer] = held
            self.state.append(call.layer, key[:, : sizes[0]], value[:, : sizes[0]])
        if call.layer == self.last_layer:
            raise Enough
        return out[0] if len(out) == 1 else torch.cat(out, dim=1)

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """As calling it; what the layer would give is not asked for."""
        self(query, key, value, call)

    def advance(self, num_tokens: int) -> None:
        """All layers have seen so many tokens, of all sequences together."""
        if self.keeps:
            own = num_tokens // len(self.rows)
            self.state.advance(own)
            self._made += own
            num_tokens -= own
        self.state.tokens_run += num_tokens

    def _attend(
        self,
        number: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        call: LayerCall,
        held: _Held,
    ) -> Tensor:
        rows, t = self.rows[number], query.shape[1]
        first = rows.next_place + self._made
        places = torch.arange(first, first + t, device=query.device)
        turned = self.rotator(query, places, call.layer, length=first + t)
        new = self.rotator(key, places, call.layer, length=first + t)
        all_key, all_value = held.with_these(new, value)
        if self.watch is not None:
            self.watch(Seen(call.layer, number, turned, all_key, query, int(rows.positions.shape[0]), call.scaling))
        if call.layer == self.last_layer:
            return turned  # nobody reads it
        if call.window is None:  # the rows are behind all new tokens
            return attend_causal(turned, all_key, all_value, scaling=call.scaling, softcap=call.softcap)
        mask = self._mask(rows, t, places, call.window)
        return attend(turned, all_key, all_value, scaling=call.scaling, mask=mask, softcap=call.softcap)

    def _mask(self, rows: Rows, t: int, places: Tensor, window: int) -> Tensor:
        """The rows and the new tokens, causally, as far as they stand in a sliding window: [t, s + t] bool."""
        own = torch.arange(rows.next_place, rows.next_place + self._made + t, device=places.device)
        there = torch.cat([rows.places, own])
        return (there[None] <= places[:, None]) & (there[None] > places[:, None] - window)

    def _gather(self, layer: int) -> list[tuple[Tensor, Tensor]]:
        """Each sequence's rows, keys rotated to their places, and values: [kv_heads, s, head_dim]."""
        every = torch.cat([rows.positions for rows in self.rows])
        unique, inverse = torch.unique(every, return_inverse=True)  # ascending, as a state gathers
        key, value = self.state.gather(layer, unique)
        found = []
        for rows, own in zip(self.rows, inverse.split([rows.positions.shape[0] for rows in self.rows]), strict=True):
            turned = self.rotator(key.index_select(1, own), rows.places, layer, length=max(1, rows.next_place))
            found.append((turned, value.index_select(1, own)))
        return found
