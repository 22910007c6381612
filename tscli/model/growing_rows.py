"""Rotated keys and values of one layer, one behind the other, as attention reads them. Knows no pages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

ROOM = 64  # rows for tokens of an answer, before buffers grow


class GrowingRows:
    """Rotated keys and values as attention reads them, [..., room, head_dim] each; the buffers grow by a quarter."""

    def __init__(self, key: Tensor, value: Tensor, filled: int = 0) -> None:
        """key, value: with rows in the first `filled` places."""
        self._key = key
        self._value = value
        self.filled = filled

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take new ones [..., t, head_dim]; returns views of all, [..., filled, head_dim] each."""
        start, stop = self.filled, self.filled + key.shape[-2]
        if stop > self._key.shape[-2]:
            room = stop + max(ROOM, stop - start, start // 4)
            grown = [part.new_empty(*part.shape[:-2], room, part.shape[-1]) for part in (self._key, self._value)]
            for new, old in zip(grown, (self._key, self._value), strict=True):
                new[..., :start, :] = old[..., :start, :]
            self._key, self._value = grown
        self._key[..., start:stop, :], self._value[..., start:stop, :] = key, value
        self.filled = stop
        return self._key[..., :stop, :], self._value[..., :stop, :]

    def taken(self, sequences: Tensor, places: Tensor) -> GrowingRows:
        """A copy of these rows (int64 [m, n]) of these sequences (int64 [m, 1]), where each kv head has several: [kv_heads,
        sequences, room, head_dim]."""
        key, value = (pad(part[:, sequences, places], (0, 0, 0, ROOM)) for part in (self._key, self._value))
        return GrowingRows(key, value, int(places.shape[1]))

    @classmethod
    def beside(cls, parts: Sequence[GrowingRows]) -> GrowingRows:
        """The sequences of all of them, which have as many rows and as much room: a copy."""
        key, value = (torch.cat([getattr(part, name) for part in parts], dim=1) for name in ("_key", "_value"))
        return cls(key, value, parts[0].filled)


DenseKeys = dict[int, GrowingRows]  # by layer, keys at their true positions and values: what full attention reads
