"""`tscli bench`: prefill and decode at given lengths with the current model, dense and TokenSelect in the same run.

The text is random token ids; the cache lives in memory, so that disks do not blur the figures. Knows the model and its
attention; no libraries, no printing.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import torch

from tscli.bench.peers import TransformersPeer
from tscli.bench.rows import BenchResult, BenchRow, timing_fields
from tscli.engine.kinds import choose_kv_dtype
from tscli.engine.measure import estimate_seconds
from tscli.engine.options import KVDtype
from tscli.engine.prefill import prefill_in_memory
from tscli.errors import UsageError
from tscli.model.attention import AttentionRun, LayerStep
from tscli.model.decoder import Decoder
from tscli.model.kv import DenseKeys, KVState
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionConfig, SelectionOptions, resolve
from tscli.selection.selection_cache import SelectionCache

SEED = 0
PREFILL_LIMIT_S = 900.0  # a prefill that is expected to take longer is skipped, and the row says so
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Bench:
    decoder: Decoder
    config: SelectionConfig
    n_gen: int
    repetitions: int
    say: Say
    kv_dtype: str | None

    def kept(self, method: str) -> str | None:
        """What keys and values are kept in by this method: dense ones always in the model's dtype, to compare with."""
        return self.kv_dtype if method == "tokenselect" else None


def benchmark(
    lengths: Sequence[int],
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    n_gen: int = 128,
    repetitions: int = 5,
    dense: bool = True,
    on_progress: Say | None = None,
    peer: str | None = None,
    kv_dtype: KVDtype = "auto",
) -> BenchResult:
    """Measure each length: one prefill per method, then `repetitions` decodes of n_gen tokens at that depth.

    peer: "transformers" for stock transformers with its DynamicCache beside our own methods. kv_dtype: what TokenSelect's pages
    are kept in; dense keys and values stay in the model's dtype.
    """
    if any(length < 1 for length in lengths) or n_gen < 1 or repetitions < 1:
        raise UsageError("lengths, --n-gen and -r must be at least 1")
    if peer not in (None, "transformers"):
        raise UsageError(f"--peer {peer}: only transformers can be measured beside tscli")
    kept = choose_kv_dtype(kv_dtype, "", None)
    decoder = load_decoder(load)
    config = resolve(selection, decoder.selection_defaults, decoder.window)
    bench = _Bench(decoder, config, n_gen, repetitions, on_progress or (lambda _: None), kept)
    rows: list[BenchRow] = []
    for length in lengths:
        methods = ["dense", "tokenselect"] if dense else ["tokenselect"]
        measured = {method: _measure(bench, length, method) for method in methods}
        if peer is not None:
            methods.append(peer)
            measured[peer] = _measure_peer(bench, length)
        for index in range(2):  # prefill rows, then decode rows
            base = measured["dense"][index].fields.get("avg_ts") if dense else None
            rows += [_with_ratio(measured[method][index], base) for method in methods]
    return BenchResult(rows)


def _measure(bench: _Bench, length: int, method: str) -> tuple[BenchRow, BenchRow]:
    """The prefill row and the decode row of one method at one length."""
    decoder, names = bench.decoder, (f"pp{length}", f"tg{bench.n_gen} @ d{length}")
    dense = method == "dense"
    expected = _expected_prefill(bench, length, dense)
    if dense and expected > PREFILL_LIMIT_S:
        reason = f"prefill expected to take {expected:,.0f} s, the limit is {PREFILL_LIMIT_S:,.0f} s"
        bench.say(f"{names[0]} {method}: skipped: {reason}; decoding at that depth over a TokenSelect prefill")
    bench.say(f"{names[0]} {method}: about {expected:,.0f} s")
    ids = torch.randint(decoder.shape.vocab_size, (length,), generator=torch.Generator().manual_seed(SEED))
    skip = dense and expected > PREFILL_LIMIT_S
    prefill_s, state = _prefill(bench, ids.to(decoder.device), dense=dense and not skip, kv_dtype=bench.kept(method))
    common = _common(bench, method, length)
    prefill_fields = {**common, "n_prompt": length, "n_gen": 0, "n_depth": 0}
    if skip:
        first = BenchRow(names[0], method, prefill_fields, skipped=reason)
    else:
        first = BenchRow(names[0], method, {**prefill_fields, **timing_fields([prefill_s], length), "peak_rss": _peak_rss()})
    bench.say(f"{names[1]} {method}")
    decode_fields = {**common, "n_prompt": 0, "n_gen": bench.n_gen, "n_depth": length, **_decode(bench, state, dense)}
    return first, BenchRow(names[1], method, {**decode_fields, "peak_rss": _peak_rss()})


def _measure_peer(bench: _Bench, length: int) -> tuple[BenchRow, BenchRow]:
    """The same two rows by stock transformers."""
    decoder, method, names = bench.decoder, "transformers", (f"pp{length}", f"tg{bench.n_gen} @ d{length}")
    common, expected = _common(bench, method, length), _expected_prefill(bench, length, dense=True)
    if expected > PREFILL_LIMIT_S:
        reason = f"a dense prefill is expected to take {expected:,.0f} s, the limit is {PREFILL_LIMIT_S:,.0f} s"
        bench.say(f"{names[0]} {method}: skipped: {reason}")
        return BenchRow(names[0], method, common, skipped=reason), BenchRow(names[1], method, common, skipped=reason)
    bench.say(f"{names[0]} {method}: about {expected:,.0f} s")
    ids = torch.randint(decoder.shape.vocab_size, (length,), generator=torch.Generator().manual_seed(SEED)).to(decoder.device)
    model = TransformersPeer(decoder.folder, decoder.dtype, decoder.device)
    seconds = model.prefill(ids)
    prefill = {
        **common,
        "n_prompt": length,
        "n_gen": 0,
        "n_depth": 0,
        **timing_fields([seconds], length),
        "peak_rss": _peak_rss(),
    }
    bench.say(f"{names[1]} {method}")
    runs = [model.decode(ids, bench.n_gen) for _ in range(bench.repetitions + 1)][1:]  # the first warms up
    decode = {**common, "n_prompt": 0, "n_gen": bench.n_gen, "n_depth": length, **_decode_fields(runs, bench.n_gen)}
    return BenchRow(names[0], method, prefill), BenchRow(names[1], method, {**decode, "peak_rss": _peak_rss()})


def _expected_prefill(bench: _Bench, length: int, dense: bool) -> float:
    """Seconds that a prefill will take; for dense, quadratic from a short one."""
    decoder, config = bench.decoder, bench.config
    if not dense:
        return estimate_seconds(decoder, config, [(0, length)])
    probe = min(length, 8 * config.chunk)
    ids = torch.randint(decoder.shape.vocab_size, (2 * probe,), generator=torch.Generator().manual_seed(SEED))
    short, _ = _prefill(bench, ids[:probe].to(decoder.device), dense=True)
    double, _ = _prefill(bench, ids.to(decoder.device), dense=True)
    quadratic = max(0.0, (double - 2 * short) / (2 * probe**2))
    linear = max(0.0, short / probe - quadratic * probe)
    return linear * length + quadratic * length**2


def _prefill(bench: _Bench, ids: torch.Tensor, *, dense: bool, kv_dtype: str | None = None) -> tuple[float, KVState]:
    """Seconds, and the state that holds the keys and values."""
    started = time.perf_counter()
    state = prefill_in_memory(bench.decoder, ids, bench.config, dense=dense, kv_dtype=kv_dtype)
    _synchronize(bench.decoder.device)
    return time.perf_counter() - started, state


def _decode(bench: _Bench, state: KVState, dense: bool) -> dict[str, Any]:
    """Greedy decodes at this depth; every repetition starts from the same state."""
    decoder, config, depth = bench.decoder, bench.config, state.length
    keys, runs = DenseKeys() if dense else None, list[list[float]]()
    steps: list[LayerStep] = []
    for repetition in range(bench.repetitions + 1):  # the first warms up: dense keys are rotated there
        reuse = None if dense else SelectionCache(config.theta)
        counting = None if dense or repetition else steps.append
        run = AttentionRun(state, decoder.rotator, config, reuse=reuse, dense=keys, observe=counting)
        times = [time.perf_counter()]
        token = 1
        for _ in range(bench.n_gen):
            logits = decoder.forward(torch.tensor([token], device=decoder.device), run)
            assert logits is not None
            token = int(torch.argmax(logits))
            times.append(time.perf_counter())
        state.rewind(depth)
        if keys is not None:
            keys.crop(depth)
        if repetition:
            runs.append(times)
    attended = [step.attended for step in steps] or [depth]
    reused = [float(step.reused) for step in steps]
    row_bytes = decoder.kv_bytes_per_token(bench.kept("dense" if dense else "tokenselect")) // decoder.layers
    return {
        **_decode_fields(runs, bench.n_gen),
        "n_selected": sum(step.selected for step in steps) / len(steps) if steps else None,
        "cache_hit_rate": sum(reused) / len(reused) if reused else None,
        "bytes_read": _bytes_read(attended, reused, depth, row_bytes, decoder.layers, dense),
    }


def _decode_fields(runs: Sequence[Sequence[float]], n_gen: int) -> dict[str, Any]:
    """From the times at which each run began and made its tokens."""
    gaps = [later - earlier for times in runs for earlier, later in pairwise(times[1:])]
    return {
        **timing_fields([times[-1] - times[0] for times in runs], n_gen),
        "ttft_ms": 1e3 * sum(times[1] - times[0] for times in runs) / len(runs),
        "tpot_ms": 1e3 * sum(gaps) / len(gaps) if gaps else None,
        "itl_ms": sorted(1e3 * gap for gap in gaps)[len(gaps) // 2] if gaps else None,
    }


def _bytes_read(attended: list[int], reused: list[float], depth: int, row_bytes: int, layers: int, dense: bool) -> int:
    """Bytes of keys and values that a decode step must read: all of them, or all keys when it selects plus what it attends."""
    if dense:
        return depth * row_bytes * layers
    selecting = 1 - sum(reused) / len(reused) if reused else 1.0
    return round(layers * (selecting * depth * row_bytes / 2 + row_bytes * sum(attended) / len(attended)))


def _common(bench: _Bench, method: str, length: int) -> dict[str, Any]:
    decoder = bench.decoder
    dtype, stock = decoder.dtype_name, method == "transformers"
    kv, weights = bench.kept(method) or dtype, dtype if stock else decoder.weights_name
    held = sum(weight.nbytes for weight in decoder.weights)
    return {
        "model": decoder.model_id,
        "size": decoder.num_parameters * decoder.dtype.itemsize if stock else held,
        "params": decoder.num_parameters,
        "backend": f"{decoder.device.type} {dtype}, kv {kv}, weights {weights}",
        "kv_dtype": kv,
        "weights": weights,
        "threads": torch.get_num_threads(),
        "method": method,
        "n_ctx": length,
        "selection": dict(vars(bench.config)),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "seed": SEED,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _with_ratio(row: BenchRow, base: float | None) -> BenchRow:
    rate = row.fields.get("avg_ts")
    ratio = rate / base if rate and base else None
    return BenchRow(row.test, row.method, row.fields, row.skipped, ratio)


def _peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
