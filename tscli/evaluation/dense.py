"""Answers over text that is run densely by the same model, as anybody would run it without a library. Token ids only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tscli.answer.decode import Sampler, Sampling
from tscli.model.attention import DenseAttention
from tscli.model.decoder import Decoder
from tscli.model.growing_rows import DenseKeys
from tscli.model.kv import KVState
from tscli.selection.config import SelectionConfig

CHUNK = 512  # tokens that go through the model together


@dataclass(frozen=True)
class TextAnswer:
    """token_ids: without the end token. ttft_s: to the first of them, with the reading of the context; total_s: to the last."""

    token_ids: list[int]
    ttft_s: float
    total_s: float


def answer_texts(
    decoder: Decoder,
    context_ids: Sequence[int],
    prompts: Sequence[Sequence[int]],
    end_ids: frozenset[int],
    max_new_tokens: int,
) -> Iterator[TextAnswer]:
    """The greedy answers to prompts, each behind the same context, which is read once and counted into the times of each.

    All tokens attend to all before them at their true positions. Context and prompt must fit the model's window.
    """
    state, keys = decoder.new_state(), DenseKeys()
    started = time.perf_counter()
    for start in range(0, len(context_ids), CHUNK):
        _run(decoder, state, keys, context_ids[start : start + CHUNK])
    read_s, length = time.perf_counter() - started, state.length
    for prompt in prompts:
        started = time.perf_counter() - read_s
        logits, ids, first = _run(decoder, state, keys, prompt), list[int](), 0.0
        sampler = Sampler(Sampling())
        while len(ids) < max_new_tokens:
            token = sampler.next_token(logits)
            first = first or time.perf_counter()
            if token in end_ids:
                break
            ids.append(token)
            if len(ids) < max_new_tokens:
                logits = _run(decoder, state, keys, [token])
        yield TextAnswer(ids, first - started, time.perf_counter() - started)
        state.rewind(length)


def _run(decoder: Decoder, state: KVState, keys: DenseKeys, token_ids: Sequence[int]) -> torch.Tensor:
    """The last token's logits, [vocab] float32."""
    run = DenseAttention(state, decoder.rotator, SelectionConfig(), keys)
    logits = decoder.forward(torch.tensor(token_ids, device=decoder.device), run)
    assert logits is not None
    return logits
