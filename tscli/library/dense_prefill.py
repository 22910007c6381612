"""Tokens run into a state's tail, each attending to everything before it; documents that fit the window, in memory.

Knows the model and how pages are packed; knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from tscli.library.layout import pack_tail
from tscli.model.decoder import Decoder
from tscli.model.gathered import GatheredRun, Rows
from tscli.model.kv import KVState
from tscli.model.pages import Pages

DENSE_CHUNK = 4096  # tokens that go through the model together where they attend densely


def run_densely(decoder: Decoder, state: KVState, token_ids: Tensor) -> Iterator[int]:
    """Run a segment's tokens into the state's tail, each attending to everything before it; yields the size of each chunk."""
    before = torch.arange(state.committed, device=decoder.device)
    run = GatheredRun(state, decoder.rotator, [Rows.behind_each_other(before)], keeps=True)
    for chunk in token_ids.split(DENSE_CHUNK):
        decoder.forward(chunk.to(decoder.device), run, logits=False)
        yield chunk.shape[0]


def prefill_documents(decoder: Decoder, token_ids: np.ndarray, starts: Sequence[int]) -> KVState:
    """The state over documents that fit the window, each behind the tokens before the first of `starts`, in memory."""
    ids, bounds = torch.from_numpy(token_ids.astype(np.int64)), [*starts, token_ids.shape[0]]
    whole = decoder.new_state([read_document(decoder, decoder.new_state(), ids[: bounds[0]])])
    for start, stop in pairwise(bounds):
        whole.extend(read_document(decoder, decoder.new_state(whole.segments[:1]), ids[start:stop]))
    return whole


def read_document(decoder: Decoder, state: KVState, token_ids: Tensor, kv_dtype: str | None = None) -> Pages:
    """The pages of a document that fits the window: token_ids (int64 [t]) behind what the state holds, attended densely."""
    for _ in run_densely(decoder, state, token_ids):
        pass
    made = pack_tail(state, kv_dtype)
    state.crop()
    return made
