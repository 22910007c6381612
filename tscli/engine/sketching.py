"""The sketch of a context's keys, made while the context is run: calibrated once, then extended with every segment.

Knows the model and its state; knows no files. The same tokens and settings always give the same sketch.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from tscli.model.attention import AttentionRun
from tscli.model.kv import KVState
from tscli.model.load import Decoder
from tscli.selection.candidates import SKETCH_FROM
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import Moments, Projection, Sketch, default_rank

CHUNKS = 8  # of the context, run once more for their queries
BLOCK = 16_384  # keys that are taken at a time


def grow_sketch(decoder: Decoder, state: KVState, token_ids: torch.Tensor, config: SelectionConfig) -> None:
    """Bring the state's sketch up to its committed tokens; does nothing before there are enough of them for it to pay.

    token_ids: int64 [n], those of the context, at least the committed ones. The state's tail must be empty.
    """
    if config.scan != "sketch" or state.committed < SKETCH_FROM:
        return
    if state.sketch is None:
        projection = calibrate(decoder, state, token_ids, config)
        shape = (decoder.layers, decoder.kv_heads, projection.rank, 0)
        state.sketch = Sketch(projection, torch.empty(shape, dtype=decoder.dtype, device=decoder.device))
    for segment, start in zip(state.segments, state.starts, strict=True):
        if start >= state.sketch.length:
            state.sketch.extend(segment.key, segment.num_tokens)


def calibrate(decoder: Decoder, state: KVState, token_ids: torch.Tensor, config: SelectionConfig) -> Projection:
    """The balanced projection from the keys of the first SKETCH_FROM tokens and the queries of chunks of them, which are run
    once more behind them. Tokens behind these segments change nothing."""
    state = decoder.new_state(
        [segment for segment, start in zip(state.segments, state.starts, strict=True) if start < SKETCH_FROM]
    )
    moments = Moments(decoder.layers, decoder.kv_heads, decoder.head_dim)
    for layer in range(decoder.layers):
        for start in range(0, SKETCH_FROM, BLOCK):
            positions = torch.arange(start, min(start + BLOCK, SKETCH_FROM), device=decoder.device)
            moments.add_keys(layer, state.keys_at(layer, positions))
    run = AttentionRun(state, decoder.rotator, replace(config, scan="exact"), moments=moments)
    step = (SKETCH_FROM - config.chunk) // (CHUNKS - 1)
    for start in range(0, CHUNKS * step, step):
        decoder.forward(token_ids[start : start + config.chunk].to(decoder.device), run, logits=False)
        state.crop()
    return moments.projection(default_rank(decoder.head_dim)).to(decoder.device)
