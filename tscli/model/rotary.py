"""Rotary position embedding at positions of our choosing.

The model's own rotary module is replaced by `IdentityRotary`, so that its attention hands out unrotated queries and keys;
`Rotator` then applies the model's own rotation (any rope type, partial or interleaved) where and when TokenSelect wants it.
Knows nothing of caches or selection.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

# Rope types whose frequencies depend on the length in use: their tables hold for exactly one length.
LENGTH_DEPENDENT = ("dynamic", "longrope")


def takes_layer_type(embedding: nn.Module) -> bool:
    """Whether this embedding has different frequencies for different kinds of layers (Gemma 3)."""
    return "layer_type" in inspect.signature(embedding.forward).parameters


class IdentityRotary(nn.Module):
    """Stands in for a model's rotary embedding: cos = 1, sin = 0, so that nothing is rotated."""

    def __init__(self, original: nn.Module, rotary_dim: int) -> None:
        super().__init__()
        self.original = original
        self.rotary_dim = rotary_dim

    def forward(self, x: Tensor, position_ids: Tensor, layer_type: str | None = None) -> tuple[Tensor, Tensor]:
        ones = x.new_ones(1, position_ids.shape[-1], self.rotary_dim)
        return ones, torch.zeros_like(ones)


class Turn:
    """Rotates queries or keys to the positions whose cos and sin it holds."""

    def __init__(self, rotate: Callable[..., Any], cos: Tensor, sin: Tensor) -> None:
        """cos, sin: [n, rotary_dim]."""
        self._rotate = rotate
        self._cos = cos
        self._sin = sin
        self._halves = rotate is rotate_halves
        if self._halves:  # what is swapped keeps its sign: sin has it
            first, second = sin.chunk(2, dim=-1)
            self._signed = torch.cat([-first, second], dim=-1)

    def __call__(self, x: Tensor) -> Tensor:
        """x [heads, n, head_dim] of any float dtype, rotated; float32, but for what is not rotated of a head."""
        rotary_dim = self._cos.shape[-1]
        if self._halves and rotary_dim == x.shape[-1]:
            wide = x.float()
            first, second = wide.chunk(2, dim=-1)
            swapped = torch.cat([second, first], dim=-1)
            return (wide * self._cos).add_(swapped.mul_(self._signed))  # bit for bit `rotate_halves`
        turned, rest = x[None, ..., :rotary_dim].float(), x[..., rotary_dim:]
        turned, _ = self._rotate(turned, turned[:, :0], self._cos[None], self._sin[None])
        return torch.cat([turned[0], rest], dim=-1) if rest.shape[-1] else turned[0]


class Rotator:
    """Rotates queries or keys with the model's own embedding and rotation function."""

    def __init__(self, embedding: nn.Module, rotate: Callable[..., Any], layer_types: list[str] | None, rope_type: str) -> None:
        self._embedding = embedding
        self._rotate = rotate
        self._takes_layer_type = takes_layer_type(embedding)
        self._layer_types = layer_types
        self._grows = rope_type not in LENGTH_DEPENDENT
        self._tables: dict[str | None, tuple[Tensor, Tensor]] = {}

    def __call__(self, x: Tensor, positions: Tensor, layer: int, *, length: int) -> Tensor:
        """Rotate x [heads, n, head_dim] to `positions` (int64 [n], all below `length`); same shape and dtype."""
        return self.turn(positions, layer, length=length)(x).to(x.dtype)

    def side_by_side(self, query: Tensor, key: Tensor, layer: int, first: int = 0) -> tuple[Tensor, Tensor]:
        """Query [q_heads, t, head_dim] and key [kv_heads, s, head_dim], the keys rotated to positions first, first + 1, ... and
        the queries to the last t of these."""
        places, length = torch.arange(first, first + key.shape[1], device=key.device), first + key.shape[1]
        turned = self(key, places, layer, length=length)
        return self(query, places[key.shape[1] - query.shape[1] :], layer, length=length), turned

    def turn(self, positions: Tensor, layer: int, *, length: int) -> Turn:
        """The rotation to these positions by itself, for what is rotated to them again and again: in layers of one `kind`."""
        cos, sin = self._table(layer, length, positions.device)
        return Turn(self._rotate, cos[positions], sin[positions])

    def kind(self, layer: int) -> str | None:
        """Layers of one kind are rotated alike."""
        return self._layer_types[layer] if self._takes_layer_type and self._layer_types else None

    @property
    def depends_on_length(self) -> bool:
        """Whether the frequencies follow from the length in use."""
        return not self._grows

    @cached_property
    def turns_halves(self) -> bool:
        """Whether the model's rotation is that of `rotate_halves`; some turn neighbours instead (Cohere, GLM)."""
        draw = torch.Generator().manual_seed(0)
        query, angle = torch.randn(1, 2, 3, 8, generator=draw), torch.randn(3, 4, generator=draw)
        cos, sin = (torch.cat([f(angle)] * 2, dim=-1)[None] for f in (torch.cos, torch.sin))
        return torch.allclose(self._rotate(query, query[:, :0], cos, sin)[0], rotate_halves(query, query[:, :0], cos, sin)[0])

    def table(self, layer: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """cos and sin of positions 0 to length - 1 in this layer, contiguous: float32 [length, rotary_dim] each."""
        cos, sin = self._table(layer, length, device)
        return cos[:length].float(), sin[:length].float()

    def _table(self, layer: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        layer_type = self.kind(layer)
        table = self._tables.get(layer_type)
        enough = table is not None and (table[0].shape[0] >= length if self._grows else table[0].shape[0] == length)
        if table is None or not enough:
            size = max(length, 2 * table[0].shape[0] if table else 1024) if self._grows else length
            table = self._compute(size, layer_type, device)
            self._tables[layer_type] = table
        return table

    @torch.no_grad()
    def _compute(self, size: int, layer_type: str | None, device: torch.device) -> tuple[Tensor, Tensor]:
        extra = (layer_type,) if self._takes_layer_type else ()
        probe = torch.zeros(1, 1, 1, dtype=torch.float32, device=device)
        cos, sin = self._embedding(probe, torch.arange(size, device=device)[None], *extra)
        return cos[0], sin[0]  # [size, rotary_dim] float32


def plain_rotator(head_dim: int, rope: dict[str, Any], device: torch.device) -> Rotator:
    """RoPE (arXiv 2104.09864) with halves rotated, as Llama and Qwen do, without transformers.

    rope: rope_theta, and rope_type "default", "linear" (factor) or "llama3" (factor, low_freq_factor, high_freq_factor,
    original_max_position_embeddings), as in a model's configuration.
    """
    return Rotator(PlainRotary(head_dim, rope).to(device), rotate_halves, None, "default")


class PlainRotary(nn.Module):
    """Tables of cos and sin, each angle twice, as transformers' embeddings give them."""

    frequencies: Tensor

    def __init__(self, head_dim: int, rope: dict[str, Any]) -> None:
        super().__init__()
        frequencies = 1.0 / float(rope["rope_theta"]) ** (torch.arange(0, head_dim, 2).float() / head_dim)
        kind = rope.get("rope_type", "default")
        if kind == "linear":
            frequencies = frequencies / float(rope["factor"])
        elif kind == "llama3":
            frequencies = _llama3(frequencies, rope)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angles = position_ids[..., None].float() * self.frequencies
        doubled = torch.cat([angles, angles], dim=-1)
        return doubled.cos(), doubled.sin()


def rotate_halves(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate query and key [1, heads, n, head_dim] by cos and sin [1, n, head_dim]."""
    cos, sin = cos[:, None], sin[:, None]

    def turned(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    return turned(query), turned(key)


def _llama3(frequencies: Tensor, rope: dict[str, Any]) -> Tensor:
    """Llama 3.1's scaling: long wavelengths by the factor, short ones not at all, those between in proportion."""
    factor, low, high = (float(rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    turns = float(rope["original_max_position_embeddings"]) * frequencies / (2 * math.pi)  # over the window of the training
    share = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (share + (1 - share) / factor)
