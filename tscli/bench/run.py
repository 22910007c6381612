"""`tscli bench`: prefill and decode at given lengths with the current model, dense and TokenSelect in the same run.

The text is real; the cache lives in memory, so that disks do not blur the figures. Knows the model and its attention; no
libraries on disk, no printing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tscli.answer.calibration.store import choose_retrieval_heads
from tscli.answer.token_select_strategy import checked_mode
from tscli.bench.decoding import decode, disk_bytes, in_one_piece, two_pass_answer
from tscli.bench.filling import PREFIX, Room, fill, room_for
from tscli.bench.peers import PEERS, measure_peer
from tscli.bench.rows import BenchResult, BenchRow, Unavailable, filled_fields, timing_fields
from tscli.bench.setting import Bench, Say, dense_seconds, forget_peak_rss, peak_rss
from tscli.bench.text import MeasuredText, read_text
from tscli.bench.voting import answer_fields, read_library
from tscli.errors import UsageError
from tscli.ingest.measure import estimate_seconds
from tscli.ingest.prefill import prefill_in_memory
from tscli.ingest.sketching import grow_sketch
from tscli.library.kv_dtype import KVDtype, pages_kv_dtype
from tscli.library.own_settings import choose_kv_dtype
from tscli.model.kv import KVState
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionOptions, resolve
from tscli.tokens import load_template, load_tokenizer

DENSE_COPIES = 3.5  # of the keys and values: dense rotates them into another that grows
FILLED_COPIES = 1.5  # of a depth that is filled: rotated, and growing


@dataclass(frozen=True)
class _Held:
    """A depth: num_run of its tokens were run in so many seconds, of expected_s for all; too_long: why not all were."""

    state: KVState
    seconds: float
    num_run: int
    expected_s: float
    too_long: str | None


def benchmark(
    lengths: Sequence[int],
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    n_gen: int = 128,
    repetitions: int = 5,
    dense: bool = True,
    on_progress: Say | None = None,
    peers: Sequence[str] = (),
    kv_dtype: KVDtype = "auto",
    text: Path | None = None,
    voters: str | None = None,
    full_prefill: bool = False,
) -> BenchResult:
    """Measure each length: one prefill per method, then `repetitions` decodes of n_gen tokens at that depth.

    "tokenselect" is what `ask` does: of a model with retrieval heads, documents read one by one and answers made from the
    passages that these heads find; ttft_ms is then the time from a question to its answer's first token. Else, and with voters
    "all", it selects at every step, as the paper does. "tokenselect-answer" is how a model whose questions are read twice makes
    its answers: with what a question of QUESTION tokens voted for, which follows the answer; its ttft_ms is that question's,
    question_ms and first_decode_ms its parts.

    peers: besides our own methods "transformers" (its generate and DynamicCache), "llama.cpp" (the very .gguf file that the
    model was read from, else one that it is converted to), "rag" (BM25's passages run again by the same model) and
    "rag-llama.cpp" (the same by llama.cpp).
    text: a file to read instead of the prose that comes along; repeated where it is too short.
    full_prefill: run every token of every length, however long that takes. Otherwise a length that is expected to take more
    than PREFILL_LIMIT_S has a real beginning prefilled, whose keys and values are repeated up to the length; n_run and
    n_repeated say how many tokens each is. Fewer tokens are decoded where all would take more than DECODE_LIMIT_S.
    kv_dtype: what TokenSelect's pages are kept in; dense keys and values stay in the model's dtype.
    """
    if any(length < 1 for length in lengths) or n_gen < 1 or repetitions < 1:
        raise UsageError("lengths, --n-gen and -r must be at least 1")
    if unknown := [peer for peer in peers if peer not in PEERS]:
        raise UsageError(f"--peer {unknown[0]}: only {', '.join(PEERS)} can be compared with tscli")
    pages = choose_kv_dtype(kv_dtype, "", None)
    say = on_progress or (lambda _: None)
    decoder = load_decoder(load, lambda text, done, _: None if done else say(text), lasting=True)
    kept = pages_kv_dtype(pages, decoder.dtype_name)
    config = resolve(selection, decoder.selection_defaults, decoder.window)
    tokenizer = load_tokenizer(str(decoder.folder))
    measured_text = MeasuredText(tokenizer, load_template(tokenizer), read_text(text))
    heads = choose_retrieval_heads(
        voters, decoder, tokenizer, measured_text.template, lambda *done: say(f"calibrating: {done[0]}")
    )
    gguf = Path(load.model) if load.model and load.model.endswith(".gguf") else None
    bench = Bench(decoder, config, n_gen, repetitions, say, measured_text, kept, heads, gguf, full_prefill)
    ours, rows = ["dense", "tokenselect"] if dense else ["tokenselect"], list[BenchRow]()
    for length in lengths:
        measured = {method: _measure(bench, length, method) for method in ours}
        measured |= {peer: measure_peer(bench, length, peer) for peer in peers}
        for kind in ([one[:1] for one in measured.values()], [one[1:] for one in measured.values()]):  # prefill, then decode
            base = kind[0][0].fields.get("avg_ts") if dense else None
            rows += [_with_ratio(row, base) for some in kind for row in some]
    return BenchResult(rows)


def _measure(bench: Bench, length: int, method: str) -> tuple[BenchRow, ...]:
    """The prefill row and the decode rows of one method at one length."""
    forget_peak_rss()
    try:
        if method == "dense":
            return _measure_dense(bench, length)
        with room_for(bench, length) as room:
            how = _measure_selecting if bench.retrieval_heads is None else _measure_voting
            return how(bench, length, room)
    except Unavailable as error:
        bench.say(f"{method} at {length:,}: skipped: {error}")
        common = bench.common(method, length)
        return tuple(BenchRow(name, method, common, skipped=str(error)) for name in bench.names(length))


def _measure_dense(bench: Bench, length: int) -> tuple[BenchRow, ...]:
    """Attention to everything. A depth that takes too long to prefill is filled with what was run for the estimate."""
    if (reason := bench.shortage(length, FILLED_COPIES)) is not None:
        raise Unavailable(reason)
    ids, probe = bench.ids(max(length, 2 * bench.probe(length))), bench.probe(length)
    expected_s = dense_seconds(lambda count: _prefill(bench, ids[:count], dense=True)[0], length, probe)
    too_long = bench.above_limit(expected_s, f"{probe:,} and {2 * probe:,} tokens")
    if too_long is None and (reason := bench.shortage(length, DENSE_COPIES)) is not None:
        raise Unavailable(reason)
    num_run = length if too_long is None else probe
    _tell(bench, "dense", length, expected_s, too_long, num_run)
    seconds, state = _prefill(bench, ids[:num_run], dense=True)
    fill(state, length)
    return _rows(bench, bench.common("dense", length), _Held(state, seconds, num_run, expected_s, too_long))


def _measure_selecting(bench: Bench, length: int, room: Room) -> tuple[BenchRow, ...]:
    """Selection by all heads at every step, as in the paper. Where a prefill takes too long, a beginning of it is repeated."""
    expected_s = estimate_seconds(bench.decoder, bench.config, [(0, length)])
    num_run, too_long = length, bench.above_limit(expected_s, "a chunk and a scan")
    if too_long is not None:  # a beginning takes less than its share, for little is scanned there
        num_run = min(PREFIX, max(bench.config.chunk, int(length * bench.prefill_limit_s / expected_s)), length)
    _tell(bench, "tokenselect", length, expected_s, too_long, num_run)
    if bench.decoder.device.type == "cuda":  # kernels are compiled
        _prefill(bench, bench.ids(min(length, bench.probe(length))), dense=False)
    ids = bench.ids(num_run)
    seconds, state = _prefill(bench, ids, dense=False)
    if num_run < length:
        fill(state, length, room)
        grow_sketch(bench.decoder, state, ids.repeat(-(-length // num_run))[:length], bench.config)
    common = bench.common("tokenselect", length, on_disk=room.is_disk)
    return _rows(bench, common, _Held(state, seconds, num_run, expected_s, too_long))


def _measure_voting(bench: Bench, length: int, room: Room) -> tuple[BenchRow, ...]:
    """A model that is asked by its retrieval heads."""
    common = bench.common("tokenselect", length, on_disk=room.is_disk)
    bench.say(f"{bench.names(length)[0]} tokenselect")
    library = read_library(bench, length, room)
    repeated = library.state.committed - library.num_run
    if repeated:
        bench.say(f"{library.num_run:,} tokens were prefilled; the other {repeated:,} repeat their keys and values")
    common |= library.fields
    first = _prefill_row(bench, length, common, library.seconds, library.num_run)
    bench.say(f"{bench.names(length)[1]} tokenselect")
    return first, _decode_row(bench, length, common, answer_fields(bench, library))


def _tell(bench: Bench, method: str, length: int, expected_s: float, too_long: str | None, num_run: int) -> None:
    name = bench.names(length)[0]
    if too_long is None:
        bench.say(f"{name} {method}: about {expected_s:,.0f} s")
    else:
        bench.say(f"{name} {method}: skipped: {too_long}; decoding with the keys and values of {num_run:,} tokens repeated")


def _rows(bench: Bench, common: dict[str, Any], held: _Held) -> tuple[BenchRow, ...]:
    """The rows of a depth by all-tokens attention or by selecting at every step."""
    method, state, length = common["method"], held.state, held.state.length
    common = {**common, **filled_fields(held.num_run, length), "disk_bytes": disk_bytes(bench, state, method)}
    expected = {"expected_s": held.expected_s}
    if bench.decoder.device.type == "cuda":
        state = in_one_piece(bench, state)
    rows = [_prefill_row(bench, length, {**common, **expected}, held.seconds, held.num_run, held.too_long)]
    ways: dict[str, Callable[[], dict[str, Any]]] = {method: lambda: decode(bench, state, dense=method == "dense")}
    if method != "dense" and checked_mode(bench.decoder.question_default) == "two_pass":
        ways[f"{method}-answer"] = lambda: two_pass_answer(bench, state)
    for name, way in ways.items():
        bench.say(f"{bench.names(length)[1]} {name}")
        rows.append(_decode_row(bench, length, {**common, "method": name}, way()))
    return tuple(rows)


def _prefill_row(
    bench: Bench, length: int, common: dict[str, Any], seconds: float, num_run: int, skipped: str | None = None
) -> BenchRow:
    measured = timing_fields([seconds], num_run) if skipped is None else {}
    fields = {**common, "n_prompt": length, "n_gen": 0, "n_depth": 0, **measured, "peak_rss": peak_rss()}
    return BenchRow(bench.names(length)[0], common["method"], fields, skipped)


def _decode_row(bench: Bench, length: int, common: dict[str, Any], measured: dict[str, Any]) -> BenchRow:
    fields = {**common, "n_prompt": 0, "n_depth": length, **measured, "peak_rss": peak_rss()}
    return BenchRow(bench.names(length, fields["n_gen"])[1], common["method"], fields)


def _prefill(bench: Bench, ids: torch.Tensor, *, dense: bool) -> tuple[float, KVState]:
    """Seconds, and the state that holds the keys and values."""
    kept, started = bench.kept("dense" if dense else "tokenselect"), time.perf_counter()
    state = prefill_in_memory(bench.decoder, ids, bench.config, dense=dense, kv_dtype=kept)
    _synchronize(bench.decoder.device)
    return time.perf_counter() - started, state


def _with_ratio(row: BenchRow, base: float | None) -> BenchRow:
    rate = row.fields.get("avg_ts")
    ratio = rate / base if rate and base else None
    return BenchRow(row.test, row.method, row.fields, row.skipped, ratio)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
