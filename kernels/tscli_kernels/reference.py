"""What each kernel must compute, written as plainly as possible and in the dtype of its inputs (tests pass float64)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def score_pages(query: Tensor, key_pages: Tensor, num_tokens: int) -> Tensor:
    """Dot product of every query head with every cached key of its kv head; [q_heads, num_tokens]."""
    pages, kv_heads, page_size, head_dim = key_pages.shape
    group = query.shape[0] // kv_heads
    rows = []
    for head in range(query.shape[0]):
        keys = key_pages[:, head // group].reshape(pages * page_size, head_dim)[:num_tokens]
        rows.append(keys.to(query.dtype) @ query[head])
    return torch.stack(rows)


def score_head(query: Tensor, segments: Sequence[tuple[Tensor, int]], kv_head: int, start: int, stop: int) -> Tensor:
    """Dot product of every query with one kv head's keys at positions [start, stop), counted through all segments: pages
    [pages, kv_heads, page_size, head_dim] and how many tokens are in them; [t, stop - start]."""
    keys = [pages[:, kv_head].flatten(0, 1)[:num_tokens] for pages, num_tokens in segments]
    return torch.stack([torch.cat(keys)[start:stop].to(query.dtype) @ row for row in query])


def soft_vote(scores: Tensor) -> Tensor:
    """Paper, Eq. 7: softmax over the tokens for each head, then the sum over heads; [n]."""
    return torch.stack([torch.softmax(row, dim=0) for row in scores]).sum(dim=0)


def vote_on_keys(query: Tensor, keys: Tensor, scales: Tensor) -> Tensor:
    """Each head's soft votes on keys [n, head_dim] that count times their scales [n]: softmax over the keys for each of its
    queries [heads, t, head_dim], then the sum over these; [heads, n]."""
    scores = torch.einsum("htd,nd->htn", query, keys.to(query.dtype) * scales.to(query.dtype)[:, None])
    return torch.softmax(scores, dim=-1).sum(dim=1)


def top_k(vote: Tensor, k: int) -> Tensor:
    """The k highest entries, the lower position first among equals, returned in ascending position; [min(k, n)]."""
    order = sorted(range(vote.shape[0]), key=lambda position: (-float(vote[position]), position))
    return torch.tensor(sorted(order[:k]), dtype=torch.int64)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float,
    mask: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Softmax attention, head by head; query [q_heads, t, d], key and value [kv_heads, s, d], mask [t, s]."""
    group = query.shape[0] // key.shape[0]
    out = []
    for head in range(query.shape[0]):
        scores = query[head] @ key[head // group].T * scaling
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        out.append(torch.softmax(scores, dim=-1) @ value[head // group])
    return torch.stack(out)


def scan_sketch(query: Tensor, key_codes: Tensor, num_tokens: int) -> Tensor:
    """Dot product of every head's sketch [kv_heads, group, rank] with that of every key [kv_heads, rank, n]; [q_heads, n]."""
    return torch.cat([query[head] @ key_codes[head, :, :num_tokens] for head in range(query.shape[0])])


def encode_sketch(coordinates: Tensor, step: float, zero: int, most: int) -> Tensor:
    """Coordinates [kv_heads, rank, n], rank a multiple of 4, as bytes [kv_heads, rank / 4, n, 4], one after the other."""
    kv_heads, rank, n = coordinates.shape
    out = torch.empty(kv_heads, rank // 4, n, 4, dtype=torch.uint8)
    for head in range(kv_heads):
        for coordinate in range(rank):
            for token in range(n):
                code = round(float(coordinates[head, coordinate, token]) / step)
                out[head, coordinate // 4, token, coordinate % 4] = zero + max(-most, min(most, code))
    return out


def quantise_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and scales of rows [n, width], row by row: the greatest magnitude becomes 127."""
    codes, scales = [], []
    for row in rows:
        scale = row.abs().max() / 127
        scales.append(scale)
        codes.append(torch.round(row / scale) if scale > 0 else torch.zeros_like(row))
    return torch.stack(codes), torch.stack(scales)


def expand_rows(codes: Tensor, scale: Tensor) -> Tensor:
    """Each code times its row's scale, in float64."""
    return codes.double() * scale.double()[..., None]


def int4_linear(x: Tensor, codes: Tensor, step: Tensor, zero: Tensor) -> Tensor:
    """x [t, in] times the transpose of the weights zero + step * (code - 8), in float64; step, zero: of each 32 inputs."""
    out, width = codes.shape
    weight = torch.empty(out, width, dtype=torch.float64)
    for row in range(out):
        for column in range(width):
            level = codes[row, column].item() - 8
            weight[row, column] = zero[row, column // 32].double() + step[row, column // 32].double() * level
    return x.double() @ weight.T


def int8_group_linear(x: Tensor, codes: Tensor, step: Tensor, zero: Tensor) -> Tensor:
    """x W^T for 8-bit weights zero + step * (code - 136) in groups of 16 inputs; in float64."""
    groups = codes.double().unflatten(1, (step.shape[1], -1))
    weight = zero.double()[..., None] + step.double()[..., None] * (groups - 136)
    return x.double() @ weight.flatten(1).T


def block_linear(x: Tensor, codes: Tensor, step: Tensor, least: Tensor) -> Tensor:
    """x W^T for the weights least + step * code; step, least: of each 32 inputs; in float64."""
    weight = least.double()[..., None] + step.double()[..., None] * codes.double().unflatten(1, (-1, 32))
    return x.double() @ weight.flatten(1).T


def two_byte_linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [t, in] W^T of rows as 16-bit integers, without what their lower bytes give together; [t, out] float64."""
    parts = []
    for rows in (x.double(), weight.double()):
        step = rows.abs().amax(dim=-1, keepdim=True) / (127 * 256 + 127)
        codes = (rows / torch.where(step > 0, step, 1.0)).round()
        upper = ((codes + 128) / 256).floor()
        parts.append((codes * step, (codes - 256 * upper) * step))
    (inputs, low_inputs), (weights, low_weights) = parts
    return inputs @ weights.T - low_inputs @ low_weights.T


def attend_selected(
    query: Tensor,
    key_pages: Tensor,
    value_pages: Tensor,
    rows: Tensor,
    key: Tensor,
    value: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    scaling: float,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention over the pages' rows, then causally over fresh ones, at compact positions; and the log-sum-exp [q_heads, t]."""
    page_size, t = key_pages.shape[2], query.shape[1]
    group = query.shape[0] // key.shape[0]
    out, sums = [], []
    for head in range(query.shape[0]):
        kv = head // group
        old_key, old_value = (pages[rows // page_size, kv, rows % page_size] for pages in (key_pages, value_pages))
        turned = _turn(torch.cat([old_key, key[kv]]), cos, sin)
        scores = _turn(query[head], cos[-t:], sin[-t:]) @ turned.T * scaling
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        place = torch.arange(turned.shape[0], device=turned.device)
        ahead = place[None] > place[-t:, None]
        scores = scores.masked_fill(ahead, -math.inf)
        out.append(torch.softmax(scores, dim=-1) @ torch.cat([old_value, value[kv]]))
        sums.append(torch.logsumexp(scores, dim=-1))
    return torch.stack(out), torch.stack(sums)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first rotary_dim coordinates of x [n, head_dim], half against half; cos, sin [n, rotary_dim]."""
    rotary = cos.shape[1]
    first, second, rest = x[:, : rotary // 2], x[:, rotary // 2 : rotary], x[:, rotary:]
    return torch.cat([x[:, :rotary] * cos + torch.cat([-second, first], dim=1) * sin, rest], dim=1)
