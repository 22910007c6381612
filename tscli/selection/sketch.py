"""The balanced sketch: few coordinates per key that carry most of what decides a score, so that a scan reads few bytes.

Per layer and kv head, with the keys' covariance S_k (before RoPE, mean removed) and the second moments S_q of the queries as
they are scored: R = S_k^(1/2), W the eigenvectors of R S_q R in descending order, k' = W R^-1 (k - mean), q' = W R q. Then
q'.k' = q.(k - mean), and the first coordinates carry the most of the scores' variance. What is left out of the mean is one
constant per head, which a softmax does not see. Not in the paper; docs/LOG.md has the recall. Knows tensors only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tscli_kernels import expand_rows

VERSION = 1
RIDGE = 1e-6  # of the mean variance, so that a direction in which no key varies has an inverse


def ranks(head_dim: int) -> tuple[int, ...]:
    """How many coordinates may be kept per key, ascending: an eighth, a quarter (an eighth more bytes per token), a half."""
    return tuple(sorted({min(head_dim, max(4, head_dim // part)) for part in (8, 4, 2)}))


@dataclass(frozen=True)
class Projection:
    """mean: [layers, kv_heads, head_dim]; key_map, query_map: [layers, kv_heads, rank, head_dim]; all float32."""

    mean: Tensor
    key_map: Tensor
    query_map: Tensor

    def to(self, device: torch.device) -> Projection:
        """The same on this device."""
        return Projection(self.mean.to(device), self.key_map.to(device), self.query_map.to(device))

    def first(self, rank: int) -> Projection:
        """The projection to the first so many of the coordinates."""
        return Projection(self.mean, self.key_map[:, :, :rank].contiguous(), self.query_map[:, :, :rank].contiguous())

    @property
    def rank(self) -> int:
        """Coordinates kept per key."""
        return int(self.key_map.shape[2])

    def keys(self, layer: int, key: Tensor) -> Tensor:
        """Sketch of keys [kv_heads, n, head_dim] before RoPE: [kv_heads, rank, n] in their dtype."""
        centred = key.float() - self.mean[layer][:, None]
        return torch.matmul(self.key_map[layer], centred.transpose(1, 2)).to(key.dtype)

    def query(self, layer: int, query: Tensor) -> Tensor:
        """Query [q_heads, head_dim] as it is scored: [kv_heads, group, rank] float32."""
        grouped = query.float().unflatten(0, (self.mean.shape[1], -1))  # [kv_heads, group, head_dim]
        return torch.matmul(grouped, self.query_map[layer].transpose(1, 2))

    def shift(self, layer: int, query: Tensor) -> Tensor:
        """What the mean adds to all scores of a head: [q_heads] float32."""
        grouped = query.float().unflatten(0, (self.mean.shape[1], -1))
        return torch.matmul(grouped, self.mean[layer][..., None]).flatten()


class Moments:
    """Sums of keys and queries over a sample of a context, from which the projection follows; float64."""

    def __init__(self, layers: int, kv_heads: int, head_dim: int) -> None:
        self.count = [0] * layers
        self.key_sum = torch.zeros(layers, kv_heads, head_dim, dtype=torch.float64)
        self.key_outer = torch.zeros(layers, kv_heads, head_dim, head_dim, dtype=torch.float64)
        self.query_outer = torch.zeros_like(self.key_outer)

    def add_keys(self, layer: int, key: Tensor) -> None:
        """Keys before RoPE, [kv_heads, n, head_dim]."""
        key = key.double().cpu()
        self.count[layer] += key.shape[1]
        self.key_sum[layer] += key.sum(dim=1)
        self.key_outer[layer] += key.transpose(1, 2) @ key

    def add_queries(self, layer: int, query: Tensor) -> None:
        """Queries as they are scored, [q_heads, t, head_dim]; the heads of a kv head's group count alike."""
        grouped = query.double().cpu().unflatten(0, (self.key_sum.shape[1], -1)).flatten(1, 2)  # [kv_heads, group * t, d]
        self.query_outer[layer] += grouped.transpose(1, 2) @ grouped

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
        _, turned = torch.linalg.eigh(root @ self.query_outer @ root)  # ascending
        first = turned.flip(-1)[..., :rank].mT  # [layers, kv_heads, rank, head_dim]
        return Projection(mean.float(), (first @ inverse).float(), (first @ root).float())


class Sketch:
    """The sketch planes of a context's committed tokens, [layers, kv_heads, rank, capacity] in the keys' dtype."""

    def __init__(self, projection: Projection, planes: Tensor, length: int = 0) -> None:
        self.projection = projection
        self.planes = planes
        self.length = length

    def extend(self, key_pages: Tensor, num_tokens: int, scale: Tensor | None = None) -> None:
        """Take the keys of the next segment: [layers, pages, kv_heads, page_size, head_dim], `num_tokens` of them filled.

        scale: [layers, pages, kv_heads, page_size], of int8 keys.
        """
        stop = self.length + num_tokens
        if stop > self.planes.shape[3]:
            grown = self.planes.new_empty(*self.planes.shape[:3], max(stop, 2 * self.planes.shape[3]))
            grown[..., : self.length] = self.planes[..., : self.length]
            self.planes = grown
        for layer in range(key_pages.shape[0]):
            pages = key_pages[layer] if scale is None else expand_rows(key_pages[layer], scale[layer])
            key = pages.transpose(0, 1).flatten(1, 2)[:, :num_tokens]  # [kv_heads, n, head_dim]
            self.planes[layer, :, :, self.length : stop] = self.projection.keys(layer, key)
        self.length = stop

    def scan(self, layer: int, query: Tensor, start: int, stop: int) -> Tensor:
        """Approximate scores of tokens [start, stop), each head's less its `shift`: [q_heads, stop - start], planes' dtype."""
        turned = self.projection.query(layer, query).to(self.planes.dtype)  # [kv_heads, group, rank]
        out = self.planes.new_empty(turned.shape[0], turned.shape[1], stop - start)
        for head, plane in enumerate(self.planes[layer]):  # a batched product copies a part of the planes: eight times slower
            torch.mm(turned[head], plane[:, start:stop], out=out[head])
        return out.flatten(0, 1)
