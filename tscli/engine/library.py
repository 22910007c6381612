"""Where store, tokens and model meet: a library's fingerprint, its context, its pages on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli.model.kv import Pages
from tscli.model.load import Decoder
from tscli.store import PAGE_SIZE, SEGMENT_PAGES, Fingerprint, Manifest
from tscli.tokens import Context, DocumentTokens, Tokenizer

# Raised whenever the same settings would give other keys or values.
ENGINE_VERSION = 1
SEGMENT_TOKENS = PAGE_SIZE * SEGMENT_PAGES
ARRAYS = ("token_ids", "document", "page", "char_start", "char_end")


@dataclass(frozen=True)
class DevicePages:
    """A segment's pages on the device that the model runs on."""

    key: Tensor
    value: Tensor
    num_tokens: int


def on_device(segment: Pages, device: torch.device) -> Pages:
    """The segment as the model reads it: mapped on the CPU, copied once to a GPU."""
    if device.type == "cpu":
        return segment
    return DevicePages(segment.key.to(device), segment.value.to(device), segment.num_tokens)


def fingerprint_of(decoder: Decoder, tokenizer: Tokenizer, prefill: Mapping[str, Any], revision: str | None) -> Fingerprint:
    """What a library must agree on with the model that reads it."""
    return Fingerprint(
        model_id=decoder.model_id,
        revision=revision,
        model_hash=decoder.hash,
        tokenizer_hash=tokenizer.hash,
        dtype=str(decoder.dtype).removeprefix("torch."),
        num_layers=decoder.layers,
        num_kv_heads=decoder.kv_heads,
        head_dim=decoder.head_dim,
        rope=decoder.rope,
        prefill=dict(prefill),
        page_size=PAGE_SIZE,
        segment_pages=SEGMENT_PAGES,
    )


def context_arrays(context: Context) -> dict[str, Tensor]:
    """The context's arrays as the store keeps them."""
    return {name: torch.from_numpy(np.ascontiguousarray(getattr(context, name))) for name in ARRAYS}


def context_of(manifest: Manifest, arrays: Mapping[str, Tensor]) -> Context:
    """The context as it was stored."""
    names = ("path", "title", "sha256", "num_pages", "paged", "token_start", "token_end")
    documents = tuple(DocumentTokens(**{name: record[name] for name in names}) for record in manifest.documents)
    return Context(**{name: arrays[name].numpy() for name in ARRAYS}, documents=documents)
