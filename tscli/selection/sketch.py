"""The balanced sketch: few coordinates per key that carry most of what decides a score, so that a scan reads few bytes.

Per layer and kv head, with the keys' covariance S_k (before RoPE, mean removed) and the second moments S_q of the queries as
they are scored: R = S_k^(1/2), W the eigenvectors of R S_q R in descending order, k' = W R^-1 (k - mean), q' = W R q. Then
q'.k' = q.(k - mean), and the first coordinates carry the most of the scores' variance. What is left out of the mean is one
constant per head, which a softmax does not see. Coordinates have variance 1, and are kept as bytes. A few keys are unlike all
others, and much of them lies in the coordinates that are left out: they are kept as outliers, candidates of every query. Not
in the paper; docs/LOG.md has the recall. Knows tensors only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from tscli_kernels import DAMAGED, decode_sketch, encode_sketch, expand_rows, reaching_codes, scan_codes, top_k

VERSION = 3
OUTLIERS = 1024  # one token of so many, per kv head
RIDGE = 1e-6  # of the mean variance, so that a direction in which no key varies has an inverse


def ranks(head_dim: int) -> tuple[int, ...]:
    """How many coordinates may be kept per key, ascending: an eighth, a quarter (a sixteenth more bytes per token, where keys
    have 16 bits), a half; in fours, as they lie side by side."""
    return tuple(sorted({min(head_dim, 4 * -(-head_dim // (4 * part))) for part in (8, 4, 2)}))


@dataclass(frozen=True)
class Projection:
    """mean: [layers, kv_heads, head_dim]; key_map, query_map: [layers, kv_heads, head_dim, head_dim], a coordinate each row;
    power: [layers, kv_heads, head_dim], what queries have in each coordinate, squared, in the mean; all float32.

    rank: how many of the coordinates, the first ones, a sketch keeps.
    """

    mean: Tensor
    key_map: Tensor
    query_map: Tensor
    power: Tensor
    rank: int

    def to(self, device: torch.device) -> Projection:
        """The same on this device."""
        mean, power = self.mean.to(device), self.power.to(device)
        return Projection(mean, self.key_map.to(device), self.query_map.to(device), power, self.rank)

    def first(self, rank: int) -> Projection:
        """The projection to the first so many of the coordinates."""
        return replace(self, rank=rank)

    def keys(self, layer: int, key: Tensor) -> Tensor:
        """All coordinates of keys [kv_heads, n, head_dim] before RoPE: float32 [kv_heads, head_dim, n]."""
        centred = key.float() - self.mean[layer][:, None]
        return torch.matmul(self.key_map[layer], centred.transpose(1, 2))

    def outliers(self, layer: int, coordinates: Tensor, key_codes: Tensor, count: int) -> Tensor:
        """Of keys with these coordinates, those whose scores their codes miss by most, by what queries were like when it was
        fitted: int64 [kv_heads, count], ascending."""
        left = coordinates.clone()
        left[:, : self.rank] -= decode_sketch(key_codes, self.rank)
        missed = torch.matmul(self.power[layer, :, None], left.square_())[:, 0]
        return torch.stack([top_k(head, count) for head in missed])

    def query(self, layer: int, query: Tensor) -> Tensor:
        """Query [q_heads, head_dim] as it is scored: [kv_heads, group, rank] float32."""
        grouped = query.float().unflatten(0, (self.mean.shape[1], -1))  # [kv_heads, group, head_dim]
        return torch.matmul(grouped, self.query_map[layer, :, : self.rank].transpose(1, 2))

    def shift(self, layer: int, query: Tensor) -> Tensor:
        """What the mean adds to all scores of a head: [q_heads] float32."""
        grouped = query.float().unflatten(0, (self.mean.shape[1], -1))
        return torch.matmul(grouped, self.mean[layer][..., None]).flatten()


def num_outliers(num_tokens: int) -> int:
    """How many tokens of a segment of so many are outliers, per kv head."""
    return -(-num_tokens // OUTLIERS)


def _refuse_damaged(values: Tensor) -> None:
    """ValueError where any of them is NaN or infinite; finite ones must not sum up to an infinite one."""
    if not math.isfinite(float(values.sum())):
        raise ValueError(DAMAGED)


class Moments:
    """Sums of keys and queries over a sample of a context, from which the projection follows; float64.

    Queries may be of several kinds, such as those of documents and of questions: each kind counts alike, however many they are.
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int, kinds: int = 1) -> None:
        self.count = [0] * layers
        self.key_sum = torch.zeros(layers, kv_heads, head_dim, dtype=torch.float64)
        self.key_outer = torch.zeros(layers, kv_heads, head_dim, head_dim, dtype=torch.float64)
        self.query_outer = [torch.zeros_like(self.key_outer) for _ in range(kinds)]

    def add_keys(self, layer: int, key: Tensor) -> None:
        """Keys before RoPE, [kv_heads, n, head_dim]; ValueError where one is NaN or infinite."""
        key = key.double().cpu()
        _refuse_damaged(key)
        self.count[layer] += key.shape[1]
        self.key_sum[layer] += key.sum(dim=1)
        self.key_outer[layer] += key.transpose(1, 2) @ key

    def add_queries(self, layer: int, query: Tensor, kind: int = 0) -> None:
        """Queries as they are scored, [q_heads, t, head_dim]; the heads of a kv head's group count alike."""
        grouped = query.double().cpu().unflatten(0, (self.key_sum.shape[1], -1)).flatten(1, 2)  # [kv_heads, group * t, d]
        self.query_outer[kind][layer] += grouped.transpose(1, 2) @ grouped

    def _mean_query_outer(self) -> Tensor:
        traces = [kind.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] for kind in self.query_outer]
        tiny = torch.finfo(torch.float64).tiny
        return sum(
            (k / t.clamp_min(tiny) for k, t in zip(self.query_outer, traces, strict=True)), torch.zeros_like(self.key_outer)
        )

    def projection(self, rank: int) -> Projection:
        """The balanced projection to `rank` coordinates of every layer; layers without keys get zeros."""
        count = torch.tensor(self.count, dtype=torch.float64).clamp_min(1)[:, None, None]
        mean = self.key_sum / count
        covariance = self.key_outer / count[..., None] - mean[..., :, None] * mean[..., None, :]
        head_dim = mean.shape[-1]
        variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        eye = torch.eye(head_dim, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance + RIDGE * variance.clamp_min(1e-12) * eye)
        values = values.clamp_min(RIDGE * 1e-12)
        root = vectors @ torch.diag_embed(values.sqrt()) @ vectors.mT
        inverse = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
        power, turned = torch.linalg.eigh(root @ self._mean_query_outer() @ root)  # ascending
        rows = turned.flip(-1).mT  # [layers, kv_heads, head_dim, head_dim], descending
        power = power.flip(-1).clamp_min(0)
        return Projection(mean.float(), (rows @ inverse).float(), (rows @ root).float(), power.float(), rank)


class Scan(Protocol):
    """What gives approximate scores of a context's tokens: its sketch, or those of the contexts that it is joined of."""

    @property
    def length(self) -> int: ...

    def shift(self, layer: int, query: Tensor) -> Tensor: ...

    def outlying(self, layer: int, start: int, stop: int) -> Tensor: ...

    def sampled(self, layer: int, query: Tensor, start: int, stop: int, step: int) -> tuple[Tensor, Tensor]: ...

    def reaching(self, layer: int, query: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor: ...


class Sketch:
    """The sketch of a context's committed tokens.

    key_codes: uint8 [layers, kv_heads, rank / 4, capacity, 4], see `encode_sketch`; outliers: positions, int64
    [layers, kv_heads, m], ascending.
    """

    def __init__(self, projection: Projection, key_codes: Tensor, outliers: Tensor, length: int = 0) -> None:
        self.projection = projection
        self.key_codes = key_codes
        self.outliers = outliers
        self.length = length
        self._samples: dict[int, tuple[tuple[int, int], Tensor, Tensor]] = {}

    @classmethod
    def empty(cls, projection: Projection) -> Sketch:
        """Of no tokens yet."""
        layers, kv_heads, _ = projection.mean.shape
        key_codes = projection.mean.new_empty(layers, kv_heads, -(-projection.rank // 4), 0, 4, dtype=torch.uint8)
        return cls(projection, key_codes, torch.empty(layers, kv_heads, 0, dtype=torch.int64, device=key_codes.device))

    def extend(self, key_pages: Tensor, num_tokens: int, scale: Tensor | None = None) -> None:
        """Take the keys of the next segment: [layers, pages, kv_heads, page_size, head_dim], `num_tokens` of them filled.

        scale: [layers, pages, kv_heads, page_size], of int8 keys. Raises ValueError where a key is NaN or infinite: its byte
        would look like any other, and no candidate would ever meet the check of the exact votes.
        """
        stop = self._room(num_tokens)
        found = []
        device = self.key_codes.device  # layer by layer: the pages may lie where there is more room
        for layer in range(key_pages.shape[0]):
            pages = key_pages[layer].to(device)
            pages = pages if scale is None else expand_rows(pages, scale[layer].to(device))
            key = pages.transpose(0, 1).flatten(1, 2)[:, :num_tokens]  # [kv_heads, n, head_dim]
            coordinates = self.projection.keys(layer, key)
            _refuse_damaged(coordinates)
            key_codes = self.key_codes[layer, :, :, self.length : stop] = encode_sketch(coordinates[:, : self.projection.rank])
            found.append(self.projection.outliers(layer, coordinates, key_codes, num_outliers(num_tokens)) + self.length)
        self.outliers = torch.cat([self.outliers, torch.stack(found)], dim=2)
        self.length = stop

    def take_over(self, key_codes: Tensor, outliers: Tensor) -> None:
        """Take the next segment's codes [layers, kv_heads, rank / 4, n, 4] and outliers [layers, kv_heads, m], counted from
        the segment's start, as a sketch by the same projection has them."""
        stop = self._room(key_codes.shape[3])
        self.key_codes[:, :, :, self.length : stop] = key_codes
        self.outliers = torch.cat([self.outliers, outliers.to(self.outliers.device) + self.length], dim=2)
        self.length = stop

    def _room(self, num_tokens: int) -> int:
        """Make room for so many more tokens; the length with them."""
        stop = self.length + num_tokens
        if stop > self.key_codes.shape[3]:
            grown = self.key_codes.new_empty(*self.key_codes.shape[:3], max(stop, 2 * self.key_codes.shape[3]), 4)
            grown[:, :, :, : self.length] = self.key_codes[:, :, :, : self.length]
            self.key_codes = grown
        return stop

    def outlying(self, layer: int, start: int, stop: int) -> Tensor:
        """The outliers of tokens [start, stop), counted from start: int64, in no order, some twice."""
        outliers = self.outliers[layer].flatten()
        return outliers[(outliers >= start) & (outliers < stop)] - start

    def shift(self, layer: int, query: Tensor) -> Tensor:
        """What is to be added to all scores of a head: [q_heads] float32."""
        return self.projection.shift(layer, query)

    def sampled(self, layer: int, query: Tensor, start: int, stop: int, step: int) -> tuple[Tensor, Tensor]:
        """Approximate scores of each step-th token in [start, stop), each head's less its `shift`: float32 [q_heads, m]; and
        which of them are outliers, bool [m]."""
        key_codes, odd = self._sample(layer, step)
        low, high = -(-start // step), -(-stop // step)
        return scan_codes(self.projection.query(layer, query), key_codes, low, high), odd[low:high]

    def reaching(self, layer: int, query: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
        """Which tokens of [start, stop), counted from start, score at least the threshold [q_heads] in any head, by scores as
        `sampled` gives them: int64, ascending."""
        return reaching_codes(self.projection.query(layer, query), self.key_codes[layer], start, stop, threshold)

    def _sample(self, layer: int, step: int) -> tuple[Tensor, Tensor]:
        """The codes [kv_heads, rank / 4, m, 4] of each step-th token, and which of those are outliers; kept, because to
        collect them from the codes is to read all of these."""
        kept = self._samples.get(layer)
        if kept is None or kept[0] != (step, self.length):
            odd = torch.zeros(self.length, dtype=torch.bool, device=self.key_codes.device)
            odd[self.outliers[layer].flatten()] = True
            sample = self.key_codes[layer, :, :, : self.length : step].contiguous()
            kept = self._samples[layer] = ((step, self.length), sample, odd[::step].clone())
        return kept[1], kept[2]
