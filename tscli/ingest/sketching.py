"""The sketch of a context's keys, made while the context is run: calibrated once, then extended with every segment.

Knows the model, its state and how it is asked; knows no files. The same tokens and settings always give the same sketch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tscli.model.attention import Attention
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.selectors import ExactSelector
from tscli.model.step import Trace
from tscli.selection.candidates import SKETCH_FROM, Scores, mass_recalled
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import OUTLIERS, Moments, Projection, Sketch, ranks
from tscli.tokens import Template, Tokenizer
from tscli_kernels import encode_sketch, scan_codes
from tscli_kernels.compiled import prefer_compiled

CHUNKS = 8  # of the context, run once more for their queries; each second one is kept to judge by
PASSAGES, PASSAGE = 16, 12  # of the context, put as questions, and their tokens; likewise
BLOCK = 16_384  # keys that are taken at a time
READING_FROM = 262_144  # tokens behind which a document's chunks are scanned by a sketch: of fewer, its making costs more
ENOUGH = 0.99  # of the votes of the exact selection, in the mean over the queries that were kept


@dataclass(frozen=True)
class ReusablePart:
    """A segment's share of a sketch: key_codes [layers, kv_heads, rank / 4, n, 4]; outliers [layers, kv_heads, m], counted from
    the segment's start."""

    key_codes: Tensor
    outliers: Tensor


@dataclass(frozen=True)
class ReusableSketch:
    """What can be taken over. parts: by the first token of their segment in the wanted context. whole: the stored sketch is
    that of the wanted context."""

    projection: Projection
    parts: Mapping[int, ReusablePart]
    whole: bool


def passages_as_questions(token_ids: Tensor, tokenizer: Tokenizer, template: Template) -> list[Tensor]:
    """A few passages of the context (token_ids: int64 [n]) as prompts, int64 [m] each: questions to fit a sketch to.

    What they ask is of no matter: what the template puts around a question asks unlike anything in a document.
    """
    step = max(1, min(token_ids.shape[0], SKETCH_FROM) // PASSAGES)
    texts = [tokenizer.decode(part[:PASSAGE].tolist()) for part in token_ids[: step * PASSAGES].split(step)]
    return [torch.tensor(template.question_ids(tokenizer, text)) for text in texts]


@prefer_compiled()
def grow_sketch(
    decoder: Decoder,
    state: KVState,
    token_ids: Tensor,
    config: SelectionConfig,
    prompts: Sequence[Tensor] = (),
    reusable: ReusableSketch | None = None,
) -> Sketch | None:
    """Bring the state's sketch up to its committed tokens and return it; None before there are enough of them for it to pay.

    token_ids: int64 [n], those of the context, at least the committed ones. prompts: what is asked for example, int64 [m] each.
    reusable: what a stored sketch of these segments holds already. The state's tail must be empty.
    """
    if config.scan != "sketch" or state.committed < SKETCH_FROM:
        return None
    sketch = state.sketch
    if not isinstance(sketch, Sketch):
        projection = (
            reusable.projection.to(decoder.device) if reusable else calibrate(decoder, state, token_ids, config, prompts)
        )
        sketch = state.sketch = Sketch.empty(projection)
    for segment, start in zip(state.segments, state.starts, strict=True):
        if start < sketch.length:
            continue
        if reusable and (part := reusable.parts.get(start)):
            sketch.take_over(part.key_codes, part.outliers)
        else:
            scale = None if segment.scales is None else segment.scales[0]
            sketch.extend(segment.key, segment.num_tokens, scale)
    return sketch


def reads_by_sketch(num_tokens: int) -> bool:
    """Whether what is run behind so many tokens is scanned by a sketch of them."""
    return num_tokens >= READING_FROM


def num_fitted(starts: Iterable[int]) -> int:
    """How many of the segments that start there, ascending, a projection is fitted to."""
    return sum(start < SKETCH_FROM for start in starts)


class _Queries(Moments):
    """Sums up the queries of the chunks to fit by, and keeps some of the chunks to judge by."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__(decoder.layers, decoder.kv_heads, decoder.head_dim, kinds=3)
        self.judging = False
        self.asking = False
        self.kept: list[tuple[int, Tensor]] = []  # layer, query [q_heads, head_dim]

    def add_queries(self, layer: int, query: Tensor, kind: int = 0) -> None:
        if self.judging:
            self.kept += [(layer, query[:, -1]), (layer, query.mean(dim=1))]  # as a step scores, and as a chunk does
        elif self.asking:
            super().add_queries(layer, query, 1)
            super().add_queries(layer, query[:, -1:], 2)  # where the answer begins
        else:
            super().add_queries(layer, query)


def calibrate(
    decoder: Decoder, state: KVState, token_ids: Tensor, config: SelectionConfig, prompts: Sequence[Tensor] = ()
) -> Projection:
    """The balanced projection from the keys of the first SKETCH_FROM tokens and the queries of chunks of them and of prompts,
    which are run behind them, to as few coordinates as recall ENOUGH. Tokens behind these segments change nothing."""
    state = decoder.new_state(state.segments[: num_fitted(state.starts)])
    moments, spans = _Queries(decoder), range(0, SKETCH_FROM, BLOCK)
    for layer in range(decoder.layers):
        for start in spans:
            moments.add_keys(layer, _keys(state, layer, start))
    run = Attention(state, decoder.rotator, config, ExactSelector(), trace=Trace(moments=moments))
    step = (SKETCH_FROM - config.chunk) // (CHUNKS - 1)
    chunks = [token_ids[number * step : number * step + config.chunk] for number in range(CHUNKS)]
    for moments.asking, some in ((False, chunks), (True, prompts)):
        for number, ids in enumerate(some):
            moments.judging = number % 2 == 1
            decoder.forward(ids.to(decoder.device), run, logits=False)
            state.crop()
    fitted = moments.projection(decoder.head_dim).to(decoder.device)
    masses: dict[int, list[float]] = {rank: [] for rank in ranks(decoder.head_dim)}
    for layer in range(decoder.layers):
        coordinates = [fitted.keys(layer, _keys(state, layer, start)) for start in spans]
        key_codes = torch.cat([encode_sketch(part[:, : max(masses)]) for part in coordinates], dim=2)
        outliers = {rank: outlying(fitted.first(rank), layer, coordinates) for rank in masses}
        for query in (query for at, query in moments.kept if at == layer):
            exact, shift = state.scores(layer, query, key_codes.shape[2]), fitted.shift(layer, query)
            for rank, found in masses.items():
                approximate = scan_codes(
                    fitted.first(rank).query(layer, query), key_codes[:, : -(-rank // 4)], 0, key_codes.shape[2]
                )
                found.append(mass_recalled(exact, Scores(approximate, shift, outliers[rank]), layer, query, config))
    enough = (rank for rank, found in masses.items() if sum(found) / max(1, len(found)) >= ENOUGH)
    return fitted.first(next(enough, max(masses)))


def outlying(projection: Projection, layer: int, coordinates: list[Tensor]) -> Tensor:
    """Positions that are candidates of every query, int64; coordinates: of keys, in blocks of BLOCK."""
    found = []
    for number, part in enumerate(coordinates):
        key_codes = encode_sketch(part[:, : projection.rank])
        found.append(projection.outliers(layer, part, key_codes, part.shape[2] // OUTLIERS).flatten() + number * BLOCK)
    return torch.cat(found)


def _keys(state: KVState, layer: int, start: int) -> Tensor:
    """A block of keys [kv_heads, n, head_dim] of those that are calibrated by."""
    return state.keys_at(layer, torch.arange(start, min(start + BLOCK, SKETCH_FROM), device=state.device))
