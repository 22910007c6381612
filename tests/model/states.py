"""States made on the spot: tokens in one segment's pages, a sketch of their keys, and what a tail holds."""

from __future__ import annotations

import torch
from torch import Tensor

from tscli.library.layout import DevicePages, pack_tail
from tscli.model.attention import Attention
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import Moments, Sketch

CONFIG = SelectionConfig(k=24, n_init=4, n_local=32, chunk=16, pool=5, scan="exact", theta=1.01)


def ids(tokens: int, seed: int = 1) -> Tensor:
    return torch.randint(1, 128, (tokens,), generator=torch.Generator().manual_seed(seed))


def paged(decoder: Decoder, token_ids: Tensor) -> KVState:
    """A state whose tokens lie in one segment."""
    state = decoder.new_state()
    for part in token_ids.split(CONFIG.chunk):
        decoder.forward(part, Attention(state, decoder.rotator, CONFIG), logits=False)
    return decoder.new_state([pack_tail(state, None)])


def replaced(state: KVState, decoder: Decoder, dtype: torch.dtype) -> KVState:
    """The same pages, of one segment, in another dtype than the model's."""
    pages = state.segments[0]
    return decoder.new_state([DevicePages(pages.key.to(dtype), pages.value.to(dtype), pages.num_tokens)])


def sketched(state: KVState, decoder: Decoder) -> Sketch:
    """A sketch of all of its keys, by all coordinates."""
    layers, group = decoder.layers, decoder.q_heads // decoder.kv_heads
    moments, places = Moments(layers, decoder.kv_heads, 16), torch.arange(state.committed, device=state.device)
    for layer in range(layers):
        key = state.keys_at(layer, places)
        moments.add_keys(layer, key)
        moments.add_queries(layer, key.repeat_interleave(group, dim=0))
    found = Sketch.empty(moments.projection(16).to(state.device))
    found.extend(state.segments[0].key, state.committed)
    return found


def tail_of(state: KVState) -> Tensor:
    """A copy of the tail's keys and values, [layers, 2, kv_heads, tail_tokens, head_dim]."""
    places = torch.arange(state.committed, state.length)
    return torch.stack([torch.stack(state.tail_at(layer, places)) for layer in range(state.layers)])
