"""Dense attention by every implementation that is installed, to set the best of them beside each selection."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tscli.bench.method_timing import Method
from tscli.model.rotary import Rotator

BLOCK = 65_536  # keys that blocked dense attention takes at a time


def dense_methods(key_pages: Tensor, value_pages: Tensor, rotator: Rotator, layers: int) -> dict[str, Method]:
    """Dense attention over keys that are rotated and contiguous already; no mask, which only makes it faster."""
    key, value = (pages.transpose(0, 1).flatten(1, 2) for pages in (key_pages, value_pages))  # [kv_heads, n, head_dim]
    places = torch.arange(key.shape[1], device=key.device)
    turned = torch.cat([rotator(part, at, 0, length=key.shape[1]) for part, at in _blocks(key, places)], dim=1)
    keys, values = [turned, *(turned.clone() for _ in range(layers - 1))], [value, *(value.clone() for _ in range(layers - 1))]

    def sdpa(query: Tensor, layer: int) -> object:
        if query.shape[1] == 1:  # a group's heads stand as queries of one head: its keys are read once
            query = query.unflatten(0, (turned.shape[0], -1)).flatten(1, 2)
        gqa = query.shape[0] != turned.shape[0]
        return scaled_dot_product_attention(query[None], keys[layer][None], values[layer][None], enable_gqa=gqa)

    def matmul(query: Tensor, layer: int) -> object:
        grouped = query.unflatten(0, (turned.shape[0], -1)).flatten(1, 2)  # [kv_heads, group * t, head_dim]
        if grouped.shape[1] < 64:
            scores = torch.matmul(grouped, keys[layer].transpose(1, 2)).float() * query.shape[-1] ** -0.5
            return torch.matmul(torch.softmax(scores, dim=-1).to(query.dtype), values[layer])
        return blocked_attention(grouped, keys[layer], values[layer])

    return {"dense-sdpa": sdpa, "dense-matmul": matmul, **_libraries(keys, values)}


def _libraries(keys: list[Tensor], values: list[Tensor]) -> dict[str, Method]:
    """FlashInfer and flash-attn, where they are installed and there is a GPU."""
    if keys[0].device.type != "cuda":
        return {}
    methods: dict[str, Method] = {}
    with suppress(ImportError):
        methods["dense-flashinfer"] = _flashinfer(keys, values)
    with suppress(ImportError):
        methods["dense-flash-attn"] = _flash_attn(keys, values)
    return methods


def _flashinfer(keys: list[Tensor], values: list[Tensor]) -> Method:
    import flashinfer

    def step(query: Tensor, layer: int) -> object:
        key, value = keys[layer], values[layer]
        if query.shape[1] == 1:
            return flashinfer.single_decode_with_kv_cache(query[:, 0], key, value, kv_layout="HND")
        return flashinfer.single_prefill_with_kv_cache(query.transpose(0, 1), key, value, kv_layout="HND")

    return step


def _flash_attn(keys: list[Tensor], values: list[Tensor]) -> Method:
    from flash_attn import flash_attn_func

    def step(query: Tensor, layer: int) -> object:
        return flash_attn_func(*(part.transpose(0, 1)[None] for part in (query, keys[layer], values[layer])))

    return step


def blocked_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention block by block with running maximum and sum; query [kv_heads, rows, head_dim]."""
    highest = query.new_full((*query.shape[:2], 1), float("-inf"), dtype=torch.float32)
    total, out = torch.zeros_like(highest), torch.zeros_like(query, dtype=torch.float32)
    for start in range(0, key.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        scores = torch.matmul(query, key[:, part].transpose(1, 2)).float() * query.shape[-1] ** -0.5
        top = torch.maximum(highest, scores.amax(-1, keepdim=True))
        weights, shrink = torch.exp(scores - top), torch.exp(highest - top)
        total = total * shrink + weights.sum(-1, keepdim=True)
        out = out * shrink + torch.matmul(weights.to(query.dtype), value[:, part]).float()
        highest = top
    return out / total


def _blocks(key: Tensor, places: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(key.split(BLOCK, dim=1), places.split(BLOCK), strict=True))
