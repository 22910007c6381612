"""The sketch of a context's keys, made while the context is run: calibrated once, then extended with every segment.

Knows the model and its state; knows no files. The same tokens and settings always give the same sketch.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tscli.model.attention import AttentionRun
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.selection.candidates import SKETCH_FROM, mass_recalled
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import Moments, Projection, Sketch, ranks

CHUNKS = 8  # of the context, run once more for their queries; each second one is kept to judge by
BLOCK = 16_384  # keys that are taken at a time
ENOUGH = 0.99  # of the votes of the exact selection, in the mean over the queries that were kept


def grow_sketch(decoder: Decoder, state: KVState, token_ids: Tensor, config: SelectionConfig) -> None:
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
            scale = None if segment.scales is None else segment.scales[0]
            state.sketch.extend(segment.key, segment.num_tokens, scale)


class _Queries(Moments):
    """Sums up the queries of the chunks to fit by, and keeps some of the chunks to judge by."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__(decoder.layers, decoder.kv_heads, decoder.head_dim)
        self.judging = False
        self.kept: list[tuple[int, Tensor]] = []  # layer, query [q_heads, head_dim]

    def add_queries(self, layer: int, query: Tensor) -> None:
        if self.judging:
            self.kept += [(layer, query[:, -1]), (layer, query.mean(dim=1))]  # as a step scores, and as a chunk does
        else:
            super().add_queries(layer, query)


def calibrate(decoder: Decoder, state: KVState, token_ids: Tensor, config: SelectionConfig) -> Projection:
    """The balanced projection from the keys of the first SKETCH_FROM tokens and the queries of chunks of them, which are run
    once more behind them, to as few coordinates as recall ENOUGH. Tokens behind these segments change nothing."""
    first = sum(start < SKETCH_FROM for start in state.starts)
    state = decoder.new_state(state.segments[:first])
    moments, spans = _Queries(decoder), range(0, SKETCH_FROM, BLOCK)
    for layer in range(decoder.layers):
        for start in spans:
            moments.add_keys(layer, _keys(state, layer, start))
    run = AttentionRun(state, decoder.rotator, replace(config, scan="exact"), moments=moments)
    step = (SKETCH_FROM - config.chunk) // (CHUNKS - 1)
    for number in range(CHUNKS):
        moments.judging = number % 2 == 1
        chunk = token_ids[number * step : number * step + config.chunk]
        decoder.forward(chunk.to(decoder.device), run, logits=False)
        state.crop()
    fitted = moments.projection(ranks(decoder.head_dim)[-1]).to(decoder.device)
    masses: dict[int, list[float]] = {rank: [] for rank in ranks(decoder.head_dim)}
    for layer in range(decoder.layers):
        planes = torch.cat([fitted.keys(layer, _keys(state, layer, start)) for start in spans], dim=2)
        for query in (query for at, query in moments.kept if at == layer):
            exact = state.scores(layer, query, planes.shape[2])
            for rank, found in masses.items():
                turned = fitted.query(layer, query)[..., :rank].to(planes.dtype)
                approximate = torch.matmul(turned, planes[:, :rank]).flatten(0, 1)
                found.append(mass_recalled(exact, approximate, fitted.shift(layer, query), config))
    enough = (rank for rank, found in masses.items() if sum(found) / max(1, len(found)) >= ENOUGH)
    return fitted.first(next(enough, fitted.rank))


def _keys(state: KVState, layer: int, start: int) -> Tensor:
    """A block of keys [kv_heads, n, head_dim] of those that are calibrated by."""
    return state.keys_at(layer, torch.arange(start, min(start + BLOCK, SKETCH_FROM), device=state.device))
