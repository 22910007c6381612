"""Where store, tokens and model meet: a library's fingerprint, its context, its pages on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.pages import Pages
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import VERSION, Projection, Sketch
from tscli.store import KV_LAYOUT_VERSION, PAGE_SIZE, SEGMENT_PAGES, Fingerprint, Manifest
from tscli.tokens import Context, DocumentTokens, Tokenizer
from tscli_kernels import PAGE_SCALE, quantise_rows

PREFILL_VERSION = 6  # raised whenever the same settings would give other keys or values; see chain_seed
GPU_KEPT = 0.15  # of a GPU's memory, for what a question needs: pages do not take it
SEGMENT_TOKENS = PAGE_SIZE * SEGMENT_PAGES
ARRAYS = ("token_ids", "document", "page", "char_start", "char_end")


@dataclass(frozen=True)
class DevicePages:
    """A segment's pages on the device that the model runs on; scales: of int8 key and value."""

    key: Tensor
    value: Tensor
    num_tokens: int
    scales: tuple[Tensor, Tensor] | None = None


def pack(key: Tensor, value: Tensor, num_tokens: int, kv_dtype: str | None) -> DevicePages:
    """Pages as a library keeps them: as they are (None), in bfloat16, or as int8 with a scale per token and kv head."""
    if kv_dtype == "int8":
        (key, key_scale), (value, value_scale) = (quantise_rows(part, PAGE_SCALE) for part in (key, value))
        return DevicePages(key, value, num_tokens, (key_scale, value_scale))
    if kv_dtype == "bfloat16":
        key, value = key.bfloat16(), value.bfloat16()
    return DevicePages(key, value, num_tokens)


def pack_tail(state: KVState, kv_dtype: str | None) -> DevicePages:
    """The tokens in a state's tail as pages, as `pack` makes them; a layer at a time, for a segment's numbers in float32 would
    take more memory than all else that an ingest holds."""
    made: list[Tensor] = []
    for layer in range(state.layers):
        own = pack(*state.copy_tail(layer, PAGE_SIZE), state.tail_tokens, kv_dtype)
        parts = (own.key, own.value, *(own.scales or ()))
        made = made or [part.new_empty(state.layers, *part.shape) for part in parts]
        for whole, part in zip(made, parts, strict=True):
            whole[layer] = part
    key, value, *scales = made
    return DevicePages(key, value, state.tail_tokens, (scales[0], scales[1]) if scales else None)


def on_device(segment: Pages, device: torch.device) -> Pages:
    """The segment on this device: where it is there already, as mapped on the CPU, itself."""
    if segment.key.device.type == device.type:
        return segment
    scales = None if segment.scales is None else (segment.scales[0].to(device), segment.scales[1].to(device))
    return DevicePages(segment.key.to(device), segment.value.to(device), segment.num_tokens, scales)


def placed(segments: Sequence[Pages], device: torch.device) -> list[Pages]:
    """The segments on this device; where it has no room for them all, as they are: mapped, and read there."""
    there = has_room(segments, device)
    return [on_device(segment, device) if there else segment for segment in segments]


def has_room(segments: Sequence[Pages], device: torch.device) -> bool:
    """Whether the pages fit beside what a question needs."""
    if device.type != "cuda":
        return True
    free, total = torch.cuda.mem_get_info(device)
    parts = [part for segment in segments for part in (segment.key, segment.value, *(segment.scales or ()))]
    return sum(part.nbytes for part in parts) < free - GPU_KEPT * total


def fingerprint_of(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prefill: Mapping[str, Any],
    revision: str | None,
    *,
    kv_dtype: str | None,
    weights: str | None,
    dtype: str | None = None,
) -> Fingerprint:
    """What a library must agree on with the model that reads it; kv_dtype, weights and dtype are the library's, see
    `Fingerprint`; dtype None: the model's."""
    return Fingerprint(
        model_id=decoder.model_id,
        revision=revision,
        model_hash=decoder.hash,
        tokenizer_hash=tokenizer.hash,
        dtype=dtype or decoder.dtype_name,
        num_layers=decoder.layers,
        num_kv_heads=decoder.kv_heads,
        head_dim=decoder.head_dim,
        rope=decoder.shape.rope,
        prefill=dict(prefill),
        page_size=PAGE_SIZE,
        segment_pages=SEGMENT_PAGES,
        kv_dtype=kv_dtype,
        weights=weights,
        kv_layout=KV_LAYOUT_VERSION,
    )


def chain_seed(fingerprint: Fingerprint) -> str:
    """What the names of a library's segments begin from: an ingest does not build on keys and values of another
    PREFILL_VERSION, though the library that has them still answers. How they lie in files is KV_LAYOUT_VERSION's."""
    return f"{fingerprint.digest()} by engine {PREFILL_VERSION}"


def prefill_config(fingerprint: Fingerprint) -> SelectionConfig:
    """The settings of the selection that the library was made with."""
    return SelectionConfig(
        **{name: value for name, value in fingerprint.prefill.items() if name not in ("dense", "documents", "prefill")}
    )


def context_arrays(context: Context) -> dict[str, Tensor]:
    """The context's arrays as the store keeps them."""
    return {name: torch.from_numpy(np.ascontiguousarray(getattr(context, name))) for name in ARRAYS}


def sketch_tensors(sketch: Sketch | None) -> dict[str, Tensor]:
    """A sketch as the store keeps it; empty where the context is too short for one."""
    if sketch is None:
        return {}
    projection = sketch.projection.to(torch.device("cpu"))
    key_codes = sketch.key_codes[:, :, :, : sketch.length].contiguous().cpu()
    return {
        "version": torch.tensor(VERSION),
        "mean": projection.mean,
        "key_map": projection.key_map,
        "query_map": projection.query_map,
        "power": projection.power,
        "rank": torch.tensor(projection.rank),
        "planes": key_codes,
        "outliers": sketch.outliers.cpu(),
    }


def sketch_of(tensors: Mapping[str, Tensor], device: torch.device) -> Sketch | None:
    """The sketch as it was stored, mapped on the CPU; None where there is none, or one of another version."""
    if not tensors or int(tensors["version"]) != VERSION:
        return None
    key_codes = tensors["planes"].to(device)
    projection = Projection(tensors["mean"], tensors["key_map"], tensors["query_map"], tensors["power"], int(tensors["rank"]))
    return Sketch(projection.to(device), key_codes, tensors["outliers"].to(device), key_codes.shape[3])


def context_of(manifest: Manifest, arrays: Mapping[str, Tensor]) -> Context:
    """The context as it was stored."""
    names = ("path", "title", "sha256", "num_pages", "paged", "token_start", "token_end")
    documents = tuple(
        DocumentTokens(**{name: record[name] for name in names}, labels=labels_of(record), breaks=breaks_of(record))
        for record in manifest.documents
    )
    return Context(**{name: arrays[name].numpy() for name in ARRAYS}, documents=documents, libraries=())


def labels_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What a document's record says its pages are called."""
    return tuple(map(str, record.get("labels", ())))


def breaks_of(record: Mapping[str, Any]) -> tuple[tuple[int, int, str], ...]:
    """Where a document's lines break words, by its record: page, character, what stood there."""
    return tuple((int(page), int(char), str(taken)) for page, char, taken in record.get("breaks", ()))
