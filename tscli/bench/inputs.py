"""Keys, values and queries of one layer, of any shape and length, with the statistics of real ones.

The embedded reader reads invented sentences with facts hidden in them and then questions about those; keys before RoPE and
queries as they are scored are taken from the middle of it: a chunk's of sentences, a step's of a question's token. A longer
context is drawn from those keys in blocks of 64 neighbours, each key with noise of the keys' own covariance added, so that
none stands twice. Heads of 128 are two heads of 64 side by side; further heads are the same
ones turned by a rotation of their own, queries alike, which leaves their scores as they are. Queries are handed out as a layer
has them, before RoPE: selection rotates them to where they are scored from.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from tscli.evaluation.context import build
from tscli.evaluation.haystack import invented
from tscli.evaluation.tasks import needles
from tscli.ingest.prefill import prefill_in_memory
from tscli.library.layout import DevicePages
from tscli.model.attention import Attention
from tscli.model.load import load_decoder
from tscli.model.options import EMBEDDED, LoadOptions
from tscli.model.rotary import PlainRotary, Rotator, plain_rotator, rotate_halves
from tscli.model.step import Trace
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import Moments, Projection, Sketch
from tscli.store import PAGE_SIZE
from tscli.tokens import load_template, load_tokenizer

REAL_TOKENS = 16_384
NOISE = 0.3  # share of the standard deviation
LAYER = 2
NUM_CHUNKS, CHUNK = 2, 512  # of queries
NUM_STEPS = 16
QUESTIONS = 8  # of each kind; those of the second are asked


@dataclass(frozen=True)
class Shape:
    """One layer's attention. theta: RoPE's base."""

    q_heads: int
    kv_heads: int
    head_dim: int
    theta: float

    @property
    def dtype(self) -> torch.dtype:
        """bfloat16, which all of the presets are kept in."""
        return torch.bfloat16

    @property
    def heads(self) -> dict[str, Any]:
        """What a KVState wants to know."""
        return {"kv_heads": self.kv_heads, "head_dim": self.head_dim}

    def rotator(self, device: torch.device) -> Rotator:
        """RoPE of this shape."""
        return plain_rotator(self.head_dim, {"rope_theta": self.theta}, device)

    def unrotated(self, query: Tensor, first: int) -> Tensor:
        """What RoPE turns into query [heads, t, head_dim] at positions first, first + 1, ..."""
        places = torch.arange(first, first + query.shape[1])
        cos, sin = PlainRotary(self.head_dim, {"rope_theta": self.theta})(query, places)
        return rotate_halves(query[None], query[None, :0], cos[None], -sin[None])[0][0]


PRESETS = {
    "reader": Shape(4, 2, 64, 1e4),
    "qwen2.5-7b": Shape(28, 4, 128, 1e6),
    "llama-3.1-8b": Shape(32, 8, 128, 5e5),
}


@dataclass(frozen=True)
class Inputs:
    """pages: one layer's; sketch: of that layer; chunks and steps: queries [q_heads, t, head_dim]."""

    pages: LayerPages
    sketch: Sketch
    chunks: list[Tensor]
    steps: list[Tensor]

    def sketch_of(self, layers: int) -> Sketch:
        """The same sketch for several layers, each in memory of its own."""

        def copies(part: Tensor) -> Tensor:
            return part.expand(layers, *part.shape[1:]).clone()

        one, length = self.sketch.projection, self.sketch.length
        maps = Projection(copies(one.mean), copies(one.key_map), copies(one.query_map), copies(one.power), one.rank)
        return Sketch(maps, copies(self.sketch.key_codes[:, :, :, :length]), copies(self.sketch.outliers), length)


class LayerPages(DevicePages):
    """The pages of one layer."""

    def copies(self, layers: int) -> DevicePages:
        """The same for several layers, each in memory of its own."""
        key, value = (part.expand(layers, -1, -1, -1, -1).clone() for part in (self.key, self.value))
        return DevicePages(key, value, self.num_tokens)


def draw_inputs(shape: Shape, length: int, n_local: int, device: torch.device) -> Inputs:
    """Keys and values of `length` tokens, and queries that selection is to score from positions n_local, n_local + 1, ...; the
    projection is fitted to the keys and to queries that are not among those."""
    key, query = _real()  # [2, n, 64] and [4, m, 64], float32
    draw = torch.Generator().manual_seed(0)
    halves = shape.head_dim // 64
    keys, queries = [], []
    for head in range(shape.kv_heads):
        turn = torch.linalg.qr(torch.randn(shape.head_dim, shape.head_dim, generator=draw)).Q
        which = [(head + half) % 2 for half in range(halves)]
        drawn = torch.cat([_longer(key[w], length, draw) for w in which], dim=-1)
        keys.append((drawn @ turn).to(shape.dtype))
        group = shape.q_heads // shape.kv_heads
        for number in range(group):
            asked = torch.cat([query[2 * w + number % 2] for w in which], dim=-1) / halves**0.5
            queries.append(asked @ turn)
    flat = torch.stack(keys)  # [kv_heads, n, head_dim]
    pages = flat.unflatten(1, (-1, PAGE_SIZE)).transpose(0, 1)[None].contiguous().to(device)
    layer = LayerPages(pages, torch.randn(pages.shape, generator=draw, dtype=torch.float32).to(pages), length)
    asked = torch.stack(queries)  # as they are scored
    moments = Moments(1, shape.kv_heads, shape.head_dim)
    moments.add_keys(0, flat[:, :65_536])
    read, questions = asked[:, : 2 * NUM_CHUNKS * CHUNK], asked[:, 2 * NUM_CHUNKS * CHUNK :]
    moments.add_queries(0, read[:, ::2])
    sketch = Sketch.empty(moments.projection(shape.head_dim // 4).to(device))
    for part in layer.key.split(REAL_TOKENS // PAGE_SIZE, dim=1):
        sketch.extend(part, min(part.shape[1] * PAGE_SIZE, length - sketch.length))
    chunks = read[:, 1::2].split(CHUNK, dim=1)
    steps = questions[:, torch.linspace(0, questions.shape[1] - 1, NUM_STEPS).long()].split(1, dim=1)
    asks = [[shape.unrotated(q, n_local).to(shape.dtype).to(device) for q in some] for some in (chunks, steps)]
    return Inputs(layer, sketch, *asks)


class _Queries(Moments):
    """Keeps the queries of one layer as they are scored."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def add_queries(self, layer: int, query: Tensor, kind: int = 0) -> None:
        if layer == LAYER:
            self.kept.append(query.clone())


def _real() -> tuple[Tensor, Tensor]:
    """Keys [kv_heads, n, 64] of the reader's LAYER over invented sentences, and queries [q_heads, m, 64] behind them: those of
    the first 2 * NUM_CHUNKS * CHUNK tokens once more, then those of questions, each token run by itself."""
    decoder = load_decoder(LoadOptions(EMBEDDED))
    tokenizer = load_tokenizer(str(decoder.folder))
    template = load_template(tokenizer)
    exam = needles(Random(0), ["single-words", "single-numbers"], QUESTIONS)
    ids = torch.from_numpy(build(exam, tokenizer, template, invented(Random(0)), REAL_TOKENS))
    config = SelectionConfig(k=128, n_init=4, n_local=64, chunk=256, pool=33)
    state = prefill_in_memory(decoder, ids, config)
    queries = _Queries()
    run = Attention(state, decoder.rotator, config, trace=Trace(moments=queries))
    for start in range(0, 2 * NUM_CHUNKS * CHUNK, config.chunk):
        decoder.forward(ids[start : start + config.chunk].to(decoder.device), run, logits=False)
        state.crop()
    for item in exam.items[QUESTIONS:]:
        for token in template.question_ids(tokenizer, item.question):
            decoder.forward(torch.tensor([token], device=decoder.device), run, logits=False)
        state.crop()
    return state.keys_at(LAYER, torch.arange(ids.shape[0])).float().cpu(), torch.cat(queries.kept, dim=1).float().cpu()


def _longer(key: Tensor, length: int, draw: torch.Generator) -> Tensor:
    """[n, 64] to [length, 64], in blocks of PAGE_SIZE neighbours with noise of the keys' own covariance."""
    starts = torch.randint(key.shape[0] - PAGE_SIZE, (-(-length // PAGE_SIZE),), generator=draw)
    rows = (starts[:, None] + torch.arange(PAGE_SIZE)).flatten()
    values, vectors = torch.linalg.eigh(torch.cov(key.T))
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    return key[rows] + NOISE * torch.randn(rows.shape[0], key.shape[1], generator=draw) @ root
