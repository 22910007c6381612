"""How long will a prefill take here? A short measurement, extrapolated: the cost per chunk and the cost of scanning."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from tscli.engine.library import DevicePages
from tscli.engine.sketching import READING_FROM
from tscli.model.attention import AttentionRun
from tscli.model.decoder import Decoder
from tscli.model.kv import DenseKeys
from tscli.selection.candidates import uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.select import select
from tscli.selection.sketch import ranks
from tscli.store import PAGE_SIZE
from tscli_kernels import code_planes, reaching_planes
from tscli_kernels.compiled import SOON

SCAN_TOKENS, FEW_TOKENS = 65_536, 8192


def estimate_seconds(
    decoder: Decoder, config: SelectionConfig, spans: Sequence[tuple[int, int]], *, dense: bool = False
) -> float:
    """Seconds to run these spans (first token, number of tokens).

    Chunks at the measured speed, plus one scan of all earlier keys, or of their sketch, per chunk and layer.
    """
    longest = max((start + num_tokens for start, num_tokens in spans), default=0)
    tokens = SCAN_TOKENS if longest >= SOON else FEW_TOKENS  # so that only what will run is loaded
    chunk_s, per_token = chunk_seconds(decoder, config, dense), decoder.layers / tokens
    exact_s, seconds = _scan_seconds(decoder, config, tokens) * per_token, 0.0
    by_sketch = uses_sketch(config, longest) and longest >= READING_FROM
    sketch_s = _sketch_seconds(decoder, config) * per_token if by_sketch else 0.0
    for start, num_tokens in spans:
        earlier = start + num_tokens / 2
        scan_s = sketch_s if by_sketch and earlier >= READING_FROM else exact_s
        seconds += -(-num_tokens // config.chunk) * (chunk_s + scan_s * earlier)
    return seconds


def chunk_seconds(decoder: Decoder, config: SelectionConfig, dense: bool, warm_up: int | None = None) -> float:
    """Seconds of one chunk over a context of so many; None: of as many as fill the selection."""
    run = AttentionRun(decoder.new_state(), decoder.rotator, config, dense=DenseKeys() if dense else None)
    ids = torch.randint(decoder.shape.vocab_size, (config.chunk,), generator=torch.Generator().manual_seed(0))
    ids = ids.to(decoder.device)
    for _ in range(2 + min(8, config.window // config.chunk) if warm_up is None else warm_up):
        decoder.forward(ids, run, logits=False)
    return _median(lambda: decoder.forward(ids, run, logits=False), decoder.device)


def _scan_seconds(decoder: Decoder, config: SelectionConfig, tokens: int) -> float:
    """One layer's scoring, vote and top-k over so many random keys."""
    shape = (decoder.layers, tokens // PAGE_SIZE, decoder.kv_heads, PAGE_SIZE, decoder.head_dim)
    pages = torch.randn(shape[1:], dtype=decoder.dtype, device=decoder.device).expand(shape)
    state = decoder.new_state([DevicePages(pages, pages, tokens)])
    query = torch.randn(decoder.q_heads, decoder.head_dim, device=decoder.device)

    def scan() -> object:
        return select(state.scores(0, query, tokens), 0, tokens, config)

    scan()
    return _median(scan, decoder.device)


def _sketch_seconds(decoder: Decoder, config: SelectionConfig) -> float:
    """One layer's scan of a sketch of SCAN_TOKENS keys for candidates."""
    kept = ranks(decoder.head_dim)
    rank = kept[len(kept) // 2]
    planes = code_planes(torch.randn(decoder.kv_heads, rank, SCAN_TOKENS, device=decoder.device))
    query = torch.randn(decoder.kv_heads, decoder.q_heads // decoder.kv_heads, rank, device=decoder.device)
    threshold = torch.full((decoder.q_heads,), 2.0 * rank**0.5, device=decoder.device)  # one token in fifty reaches it

    def scan() -> object:
        return reaching_planes(query, planes, 0, SCAN_TOKENS, threshold)

    scan()
    return _median(scan, decoder.device)


def _median(work: Callable[[], object], device: torch.device, repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return sorted(times)[repeats // 2]
