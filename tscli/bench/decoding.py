"""Decoding at a depth by our own methods: dense, selecting at every step, with a kept selection.

Knows a state that holds the depth; prefills nothing.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from tscli.answer.engine import Engine, Request
from tscli.answer.token_select_strategy import TokenSelectStrategy
from tscli.bench.rows import decode_fields
from tscli.bench.setting import Bench
from tscli.library.layer_upload import LayerUpload
from tscli.model.attention import Attention, DenseAttention
from tscli.model.growing_rows import DenseKeys
from tscli.model.kv import KVState
from tscli.model.selectors import SelectionCache
from tscli.model.step import LayerStep, Observer, Trace
from tscli.selection.sketch import Sketch
from tscli.tokens import Prompt

QUESTION = 16  # tokens


def decode(bench: Bench, state: KVState, *, dense: bool) -> dict[str, Any]:
    """Greedy decodes at this depth; every repetition starts from the same state."""
    depth, keys = state.length, DenseKeys() if dense else None
    steps, attended, reused = list[LayerStep](), [depth], list[float]()
    n_gen, repetitions = bench.decodes(_greedy(bench, state, keys, bench.trial))  # dense keys are rotated there
    if not dense:
        _greedy(bench, state, None, n_gen, steps.append)
        attended, reused = [step.attended for step in steps], [float(step.reused) for step in steps]
    runs = [_greedy(bench, state, keys, n_gen) for _ in range(repetitions)]
    row_bytes = bench.decoder.kv_bytes_per_token(bench.kept("dense" if dense else "tokenselect")) // bench.decoder.layers
    return {
        **decode_fields(runs, n_gen),
        "n_gen": n_gen,
        "n_selected": sum(step.selected for step in steps) / len(steps) if steps else None,
        "cache_hit_rate": sum(reused) / len(reused) if reused else None,
        "bytes_read": _bytes_read(attended, reused, depth, row_bytes, bench.decoder.layers, dense),
    }


def _greedy(bench: Bench, state: KVState, keys: DenseKeys | None, n_gen: int, observe: Observer | None = None) -> list[float]:
    """The times at which a decode of n_gen tokens began and made each; state and keys are then as before."""
    decoder, depth = bench.decoder, state.length
    selector, over = SelectionCache(bench.config.theta), (state, decoder.rotator, bench.config)
    run = DenseAttention(*over, keys) if keys is not None else Attention(*over, selector, trace=Trace(observe))
    times, token = [time.perf_counter()], 1
    for _ in range(n_gen):
        logits = decoder.forward(torch.tensor([token], device=decoder.device), run)
        assert logits is not None
        token = int(torch.argmax(logits))
        times.append(time.perf_counter())
    state.rewind(depth)
    return times


def two_pass_answer(bench: Bench, state: KVState) -> dict[str, Any]:
    """Answers behind their first token, to a question that is read twice."""
    strategy = TokenSelectStrategy(bench.decoder, state, bench.config, "two_pass", frozenset())
    question, engine = Prompt(tuple(bench.ids(QUESTION).tolist()), 0, QUESTION), Engine(bench.decoder)
    began, read, runs = list[float](), list[float](), list[list[float]]()

    def answer(n_gen: int) -> list[float]:
        return [time.perf_counter() for _ in engine.answer(Request(strategy, question, n_gen + 1))]

    n_gen, repetitions = bench.decodes(answer(bench.trial))
    for _ in range(repetitions):
        began.append(time.perf_counter())
        runs.append(answer(n_gen))
        read.append(strategy.question_read)
    parts = [(then - begin, times[0] - then) for begin, then, times in zip(began, read, runs, strict=True)]
    question_ms, first_ms = (1e3 * sum(part) / len(parts) for part in zip(*parts, strict=True))
    waited = {"ttft_ms": question_ms + first_ms, "question_ms": question_ms, "first_decode_ms": first_ms}
    return {**decode_fields(runs, n_gen), **waited, "n_gen": n_gen, "n_question": [QUESTION] * repetitions}


def in_one_piece(bench: Bench, state: KVState) -> KVState:
    """The same tokens as a GPU has those of a library that fits: in one run of pages."""
    upload = LayerUpload(state.segments, state.device)
    for layer in range(bench.decoder.layers):
        upload(layer)
    whole = bench.decoder.new_state([upload.pages])
    whole.sketch = state.sketch
    return whole


def disk_bytes(bench: Bench, state: KVState, method: str) -> int:
    """What a library of these tokens would take on disk: keys, values and their sketch."""
    sketch = state.sketch.key_codes[:, :, :, : state.sketch.length].nbytes if isinstance(state.sketch, Sketch) else 0
    return bench.decoder.kv_bytes_per_token(bench.kept(method)) * state.length + sketch


def _bytes_read(attended: list[int], reused: list[float], depth: int, row_bytes: int, layers: int, dense: bool) -> int:
    """Bytes of keys and values that a decode step must read: all of them, or all keys when it selects plus what it attends."""
    if dense:
        return depth * row_bytes * layers
    selecting = 1 - sum(reused) / len(reused) if reused else 1.0
    return round(layers * (selecting * depth * row_bytes / 2 + row_bytes * sum(attended) / len(attended)))
