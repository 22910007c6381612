"""Where store, tokens and model meet: a library's fingerprint, its context, its pages on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli.model.decoder import Decoder
from tscli.model.kv import Pages
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import VERSION, Projection, Sketch
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
        rope=decoder.shape.rope,
        prefill=dict(prefill),
        page_size=PAGE_SIZE,
        segment_pages=SEGMENT_PAGES,
    )


def prefill_config(fingerprint: Fingerprint) -> SelectionConfig:
    """The settings of the selection that the library was made with."""
    return SelectionConfig(**{name: value for name, value in fingerprint.prefill.items() if name not in ("dense", "documents")})


def context_arrays(context: Context) -> dict[str, Tensor]:
    """The context's arrays as the store keeps them."""
    return {name: torch.from_numpy(np.ascontiguousarray(getattr(context, name))) for name in ARRAYS}


def sketch_tensors(sketch: Sketch | None) -> dict[str, Tensor]:
    """A sketch as the store keeps it; empty where the context is too short for one."""
    if sketch is None:
        return {}
    projection = sketch.projection.to(torch.device("cpu"))
    planes = sketch.planes[..., : sketch.length].contiguous().cpu()
    return {
        "version": torch.tensor(VERSION),
        "mean": projection.mean,
        "key_map": projection.key_map,
        "query_map": projection.query_map,
        "planes": planes,
    }


def sketch_of(tensors: Mapping[str, Tensor], device: torch.device) -> Sketch | None:
    """The sketch as it was stored, mapped on the CPU; None where there is none, or one of another version."""
    if not tensors or int(tensors["version"]) != VERSION:
        return None
    projection = Projection(tensors["mean"], tensors["key_map"], tensors["query_map"]).to(device)
    planes = tensors["planes"].to(device)
    return Sketch(projection, planes, planes.shape[3])


def context_of(manifest: Manifest, arrays: Mapping[str, Tensor]) -> Context:
    """The context as it was stored."""
    names = ("path", "title", "sha256", "num_pages", "paged", "token_start", "token_end")
    documents = tuple(DocumentTokens(**{name: record[name] for name in names}) for record in manifest.documents)
    return Context(**{name: arrays[name].numpy() for name in ARRAYS}, documents=documents)
