"""How long will a prefill take here? A short measurement, extrapolated: the cost per chunk and the cost of scanning."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from tscli.errors import ResourceError
from tscli.ingest.sketching import CHUNKS, PASSAGES, READING_FROM
from tscli.library.dense_prefill import run_densely
from tscli.library.layout import DevicePages, pack_tail
from tscli.model.attention import Attention, DenseAttention
from tscli.model.decoder import Decoder
from tscli.selection.candidates import SKETCH_FROM, uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.select import select
from tscli.selection.sketch import Projection, Sketch, ranks
from tscli.store import PAGE_SIZE, save_tensors
from tscli_kernels import encode_sketch, reaching_codes
from tscli_kernels.compiled import PREFERRED_FROM

SCAN_TOKENS, FEW_TOKENS = 65_536, 8192
WRITTEN_TOKENS = 1024
DENSE_TOKENS = 256
REPEATS = 3


def estimate_seconds(
    decoder: Decoder,
    config: SelectionConfig,
    spans: Sequence[tuple[int, int]],
    *,
    dense: bool = False,
    kv_dtype: str | None = None,
) -> float:
    """Seconds to run these spans (first token, number of tokens).

    Chunks at the measured speed, plus one scan of all earlier keys, or of their sketch, per chunk and layer, plus the writing
    of the pages. kv_dtype: of these, see `Fingerprint`.
    """
    longest = max((start + num_tokens for start, num_tokens in spans), default=0)
    tokens = SCAN_TOKENS if longest >= PREFERRED_FROM else FEW_TOKENS  # so that only what will run is loaded
    chunk_s, per_token = chunk_seconds(decoder, config, dense), decoder.layers / tokens
    exact_s, seconds = _scan_seconds(decoder, config, tokens) * per_token, 0.0
    by_sketch = uses_sketch(config, longest) and longest >= READING_FROM
    sketch_s = _sketch_seconds(decoder) * per_token if by_sketch else 0.0
    for start, num_tokens in spans:
        earlier = start + num_tokens / 2
        scan_s = sketch_s if by_sketch and earlier >= READING_FROM else exact_s
        seconds += -(-num_tokens // config.chunk) * (chunk_s + scan_s * earlier)
    return seconds + sum(num_tokens for _, num_tokens in spans) * _writing_seconds(decoder, kv_dtype)


def sections_seconds(decoder: Decoder, spans: Sequence[tuple[int, int]], kv_dtype: str | None = None) -> float:
    """Seconds to run these spans (first token of its document, number of tokens), each attended densely behind what stands
    before it there, and to write their pages: a linear and a quadratic part, by two short runs."""
    short, double = (dense_seconds(decoder, count) for count in (DENSE_TOKENS, 2 * DENSE_TOKENS))
    pair_s = max(0.0, double - 2 * short) / DENSE_TOKENS**2  # a pair of tokens, of which the longer run has so many more
    token_s = max(0.0, short - pair_s * DENSE_TOKENS**2 / 2) / DENSE_TOKENS
    pairs = sum(num_tokens * (first + num_tokens / 2) for first, num_tokens in spans)
    num_tokens = sum(count for _, count in spans)
    return num_tokens * (token_s + _writing_seconds(decoder, kv_dtype)) + pairs * pair_s


def dense_seconds(decoder: Decoder, num_tokens: int = DENSE_TOKENS) -> float:
    """Seconds of so many tokens that attend densely to each other, the better of two runs."""
    ids = torch.randint(decoder.shape.vocab_size, (num_tokens,), generator=torch.Generator().manual_seed(0))
    times = []
    for _ in range(2):  # the first one warms up
        started = time.perf_counter()
        list(run_densely(decoder, decoder.new_state(), ids))
        if decoder.device.type == "cuda":
            torch.cuda.synchronize(decoder.device)
        times.append(time.perf_counter() - started)
    return min(times)


def sketch_seconds(
    decoder: Decoder, config: SelectionConfig, context_tokens: int, new_tokens: int, *, dense: bool, calibrates: bool
) -> float:
    """Seconds to bring the sketch of so many tokens up to date, so many of them new, in one process.

    A calibration runs chunks and questions behind SKETCH_FROM tokens, then judges every rank by two queries of each second one
    of them; a search by a sketch is taken to cost what an exact selection does.
    """
    if not uses_sketch(config, context_tokens):
        return 0.0
    codes_s = _codes_seconds(decoder)
    if not calibrates:
        return new_tokens * codes_s
    scan_s = decoder.layers * _scan_seconds(decoder, config, SCAN_TOKENS) * SKETCH_FROM / SCAN_TOKENS
    chunk_s, num_run, num_ranks = chunk_seconds(decoder, config, dense, 0), CHUNKS + PASSAGES, len(ranks(decoder.head_dim))
    judging_s = num_run * (1 + num_ranks) * scan_s
    return (new_tokens + num_ranks * SKETCH_FROM) * codes_s + num_run * (chunk_s + scan_s) + judging_s


def chunk_seconds(decoder: Decoder, config: SelectionConfig, dense: bool, warm_up: int | None = None) -> float:
    """Seconds of one chunk over a context of so many; None: of as many as fill the selection."""
    run = (DenseAttention if dense else Attention)(decoder.new_state(), decoder.rotator, config)
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


def _codes_seconds(decoder: Decoder) -> float:
    """A token's codes and outliers, of all layers, where keys are taken by the thousand."""
    kept, shape = ranks(decoder.head_dim), (1, decoder.kv_heads, decoder.head_dim)
    maps = torch.eye(decoder.head_dim, device=decoder.device).expand(*shape, decoder.head_dim).contiguous()
    mean, power = torch.zeros(shape, device=decoder.device), torch.ones(shape, device=decoder.device)
    projection = Projection(mean, maps, maps, power, kept[len(kept) // 2])
    pages = torch.randn(1, FEW_TOKENS // PAGE_SIZE, decoder.kv_heads, PAGE_SIZE, decoder.head_dim)
    pages = pages.to(decoder.device, decoder.dtype)

    def make() -> None:
        Sketch.empty(projection).extend(pages, FEW_TOKENS)

    make()
    return decoder.layers * _median(make, decoder.device) / FEW_TOKENS


def _writing_seconds(decoder: Decoder, kv_dtype: str | None) -> float:
    """A token's share of a segment's packing and writing, as it is into the folder for temporary files."""
    state = decoder.new_state()
    rows = torch.zeros(decoder.kv_heads, WRITTEN_TOKENS, decoder.head_dim, dtype=decoder.dtype, device=decoder.device)
    for layer in range(decoder.layers):
        state.append(layer, rows, rows)
    state.advance(WRITTEN_TOKENS)
    with tempfile.TemporaryDirectory() as folder:

        def write() -> None:
            pages = pack_tail(state, kv_dtype)
            with suppress(OSError, ResourceError):  # the disk that matters is another one
                save_tensors(Path(folder) / "pages.pt", {"key": pages.key, "value": pages.value})

        return _median(write, torch.device("cpu")) / WRITTEN_TOKENS


def _sketch_seconds(decoder: Decoder) -> float:
    """One layer's scan of a sketch of SCAN_TOKENS keys for candidates."""
    kept = ranks(decoder.head_dim)
    rank = kept[len(kept) // 2]
    key_codes = encode_sketch(torch.randn(decoder.kv_heads, rank, SCAN_TOKENS, device=decoder.device))
    query = torch.randn(decoder.kv_heads, decoder.q_heads // decoder.kv_heads, rank, device=decoder.device)
    threshold = torch.full((decoder.q_heads,), 2.0 * rank**0.5, device=decoder.device)  # one token in fifty reaches it

    def scan() -> object:
        return reaching_codes(query, key_codes, 0, SCAN_TOKENS, threshold)

    scan()
    return _median(scan, decoder.device)


def _median(work: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return sorted(times)[REPEATS // 2]
