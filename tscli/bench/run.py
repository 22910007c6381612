"""`tscli bench`: prefill and decode at given lengths with the current model, dense and TokenSelect in the same run.

The text is real; the cache lives in memory, so that disks do not blur the figures. Knows the model and its attention; no
libraries on disk, no printing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tscli.answer.asker import Asker, checked_mode
from tscli.answer.calibration.store import choose_voters
from tscli.answer.engine import Engine, Request
from tscli.bench.peers import PEERS, measure_peer
from tscli.bench.rows import BenchResult, BenchRow, decode_fields, timing_fields
from tscli.bench.setting import PREFILL_LIMIT_S, Bench, Say, dense_seconds, forget_peak_rss, peak_rss
from tscli.bench.text import MeasuredText, read_text
from tscli.bench.voting import answer_fields, read_library
from tscli.errors import UsageError
from tscli.ingest.measure import estimate_seconds
from tscli.ingest.prefill import prefill_in_memory
from tscli.library.kv_dtype import KVDtype
from tscli.library.layer_upload import LayerUpload
from tscli.library.own_settings import choose_kv_dtype
from tscli.model.attention import AttentionRun, LayerStep
from tscli.model.cuda_graph import GraphedSteps, GraphRun, fits
from tscli.model.kv import DenseKeys, KVState
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionOptions, resolve
from tscli.selection.selection_cache import SelectionCache
from tscli.selection.sketch import Sketch
from tscli.tokens import Prompt, load_template, load_tokenizer

QUESTION = 16  # tokens
DENSE_COPIES, SPARSE_COPIES = 3.5, 1.5  # of the keys and values: dense rotates them into another that grows


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
) -> BenchResult:
    """Measure each length: one prefill per method, then `repetitions` decodes of n_gen tokens at that depth.

    "tokenselect" is what `ask` does: of a model with voters, documents read one by one and answers made from the passages that
    these heads find; ttft_ms is then the time from a question to its answer's first token. Else, and with voters "all", it
    selects at every step, as the paper does. "tokenselect-answer" is how a model whose questions are read twice makes its
    answers: with what a question of QUESTION tokens voted for, which follows the answer; its ttft_ms is that question's,
    question_ms and first_decode_ms its parts. On a GPU "tokenselect-graph" selects at every step, each being a CUDA graph.

    peers: beside our own methods "transformers" (its generate and DynamicCache), "llama.cpp" (the very .gguf file that the
    model was read from, else one that it is converted to) and "rag" (BM25's passages run again by the same model).
    text: a file to read instead of the prose that comes along; repeated where it is too short.
    kv_dtype: what TokenSelect's pages are kept in; dense keys and values stay in the model's dtype.
    """
    if any(length < 1 for length in lengths) or n_gen < 1 or repetitions < 1:
        raise UsageError("lengths, --n-gen and -r must be at least 1")
    if unknown := [peer for peer in peers if peer not in PEERS]:
        raise UsageError(f"--peer {unknown[0]}: only {', '.join(PEERS)} can be measured beside tscli")
    kept = choose_kv_dtype(kv_dtype, "", None)
    decoder = load_decoder(load)
    config = resolve(selection, decoder.selection_defaults, decoder.window)
    tokenizer = load_tokenizer(str(decoder.folder))
    measured_text = MeasuredText(tokenizer, load_template(tokenizer), read_text(text))
    say = on_progress or (lambda _: None)
    heads = choose_voters(voters, decoder, tokenizer, measured_text.template, lambda *done: say(f"calibrating: {done[0]}"))
    gguf = Path(load.model) if load.model and load.model.endswith(".gguf") else None
    bench = Bench(decoder, config, n_gen, repetitions, say, measured_text, kept, heads, gguf)
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
    names, dense, common = bench.names(length), method == "dense", bench.common(method, length)
    if not dense and bench.voters is not None:
        return _measure_voting(bench, length, common)
    forget_peak_rss()
    if (reason := bench.shortage(length, DENSE_COPIES if dense else SPARSE_COPIES)) is not None:
        bench.say(f"{method} at {length:,}: skipped: {reason}")
        return BenchRow(names[0], method, common, skipped=reason), BenchRow(names[1], method, common, skipped=reason)
    expected = _expected_prefill(bench, length, dense)
    skip = dense and expected > PREFILL_LIMIT_S
    if skip:
        reason = f"prefill expected to take {expected:,.0f} s, the limit is {PREFILL_LIMIT_S:,.0f} s"
        bench.say(f"{names[0]} {method}: skipped: {reason}; decoding at that depth over a TokenSelect prefill")
    else:
        bench.say(f"{names[0]} {method}: about {expected:,.0f} s")
    if bench.decoder.device.type == "cuda":  # kernels are compiled
        _prefill(bench, bench.ids(min(length, bench.probe(length))), dense=dense, kv_dtype=bench.kept(method))
    prefill_s, state = _prefill(bench, bench.ids(length), dense=dense and not skip, kv_dtype=bench.kept(method))
    common["disk_bytes"] = _disk_bytes(bench, state, method)
    if bench.decoder.device.type == "cuda":
        state = _in_one_piece(bench, state)
    prefill_fields = {**common, "n_prompt": length, "n_gen": 0, "n_depth": 0}
    if skip:
        first = BenchRow(names[0], method, prefill_fields, skipped=reason)
    else:
        first = BenchRow(names[0], method, {**prefill_fields, **timing_fields([prefill_s], length), "peak_rss": peak_rss()})
    bench.say(f"{names[1]} {method}")
    common |= {"n_prompt": 0, "n_gen": bench.n_gen, "n_depth": length}
    decode = BenchRow(names[1], method, {**common, **_decode(bench, state, dense), "peak_rss": peak_rss()})
    if dense:
        return first, decode
    more = {}
    if checked_mode(bench.decoder.question_default) == "two_pass":
        bench.say(f"{names[1]} {method}-answer")
        more[f"{method}-answer"] = _answer(bench, state)
    rows = [BenchRow(names[1], name, {**common, **fields, "method": name}) for name, fields in more.items()]
    if bench.decoder.device.type == "cuda":
        bench.say(f"{names[1]} {method}-graph")
        rows.append(_graph(bench, state, names[1], {**common, "method": f"{method}-graph"}))
    return first, decode, *rows


def _measure_voting(bench: Bench, length: int, common: dict[str, Any]) -> tuple[BenchRow, BenchRow]:
    """The rows of a model that is asked by its voters."""
    names, method = bench.names(length), "tokenselect"
    forget_peak_rss()
    if (reason := bench.shortage(length, SPARSE_COPIES, method)) is not None:
        bench.say(f"{method} at {length:,}: skipped: {reason}")
        return BenchRow(names[0], method, common, skipped=reason), BenchRow(names[1], method, common, skipped=reason)
    bench.say(f"{names[0]} {method}")
    library = read_library(bench, length)
    if library.num_run < library.state.committed - len(bench.text.template.prefix_ids):
        bench.say(f"{names[0]} {method}: {library.num_run:,} tokens were read, the others are the same documents once more")
    prefill = {**common, "n_prompt": length, "n_gen": 0, "n_depth": 0, **library.prefill_fields(), "peak_rss": peak_rss()}
    bench.say(f"{names[1]} {method}")
    answered = answer_fields(bench, library)
    decode = {**common, "n_prompt": 0, "n_gen": bench.n_gen, "n_depth": length, **answered, "peak_rss": peak_rss()}
    return BenchRow(names[0], method, prefill), BenchRow(names[1], method, decode)


def _expected_prefill(bench: Bench, length: int, dense: bool) -> float:
    """Seconds that a prefill will take."""
    if not dense:
        return estimate_seconds(bench.decoder, bench.config, [(0, length)])
    ids = bench.ids(2 * bench.probe(length))
    return dense_seconds(lambda count: _prefill(bench, ids[:count], dense=True)[0], length, bench.probe(length))


def _prefill(bench: Bench, ids: torch.Tensor, *, dense: bool, kv_dtype: str | None = None) -> tuple[float, KVState]:
    """Seconds, and the state that holds the keys and values."""
    started = time.perf_counter()
    state = prefill_in_memory(bench.decoder, ids, bench.config, dense=dense, kv_dtype=kv_dtype)
    _synchronize(bench.decoder.device)
    return time.perf_counter() - started, state


def _decode(bench: Bench, state: KVState, dense: bool) -> dict[str, Any]:
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
        **decode_fields(runs, bench.n_gen),
        "n_selected": sum(step.selected for step in steps) / len(steps) if steps else None,
        "cache_hit_rate": sum(reused) / len(reused) if reused else None,
        "bytes_read": _bytes_read(attended, reused, depth, row_bytes, decoder.layers, dense),
    }


def _answer(bench: Bench, state: KVState) -> dict[str, Any]:
    """Answers of n_gen tokens behind their first one, to a question that is read twice."""
    asker = Asker(bench.decoder, state, bench.config, "two_pass", frozenset())
    question, engine = Prompt(tuple(bench.ids(QUESTION).tolist()), 0, QUESTION), Engine(bench.decoder)
    began, read, runs = list[float](), list[float](), list[list[float]]()
    for _ in range(bench.repetitions + 1):
        began.append(time.perf_counter())
        runs.append([time.perf_counter() for _ in engine.answer(Request(asker, question, bench.n_gen + 1))])
        read.append(asker.question_read)
    parts = [(then - begin, times[0] - then) for begin, then, times in zip(began, read, runs, strict=True)][1:]  # 1st: warms up
    question_ms, first_ms = (1e3 * sum(part) / len(parts) for part in zip(*parts, strict=True))
    waited = {"ttft_ms": question_ms + first_ms, "question_ms": question_ms, "first_decode_ms": first_ms}
    waited |= {"n_question": QUESTION, "peak_rss": peak_rss()}
    return {**decode_fields(runs[1:], bench.n_gen), **waited}


def _in_one_piece(bench: Bench, state: KVState) -> KVState:
    """The same tokens as a GPU has those of a library that fits: in one run of pages."""
    upload = LayerUpload(state.segments, state.device)
    for layer in range(bench.decoder.layers):
        upload(layer)
    whole = bench.decoder.new_state([upload.pages])
    whole.sketch = state.sketch
    return whole


def _graph(bench: Bench, state: KVState, test: str, common: dict[str, Any]) -> BenchRow:
    """Greedy decodes as a CUDA graph; skipped where the steps are not of one size."""
    decoder = bench.decoder
    if decoder.rotator.depends_on_length or not fits(state, bench.config, decoder.shape.sliding, bench.n_gen):
        reason = f"{bench.n_gen} steps of this model at this depth are not of one size, as a graph's are"
        return BenchRow(test, common["method"], common, skipped=reason)
    steps = GraphedSteps(decoder, GraphRun(state, decoder.rotator, bench.config, decoder.last_selecting_layer))
    runs = list[list[float]]()
    for _ in range(bench.repetitions + 1):  # the first captures
        steps.begin()
        times, token = [time.perf_counter()], 1
        for _ in range(bench.n_gen):
            token = int(torch.argmax(steps.step(token)))
            times.append(time.perf_counter())
        runs.append(times)
    fields = {**decode_fields(runs[1:], bench.n_gen), "n_selected": bench.config.count(state.committed), "peak_rss": peak_rss()}
    return BenchRow(test, common["method"], {**common, **fields})


def _disk_bytes(bench: Bench, state: KVState, method: str) -> int:
    """What a library of these tokens would take on disk: keys, values and their sketch."""
    sketch = state.sketch.key_codes[:, :, :, : state.sketch.length].nbytes if isinstance(state.sketch, Sketch) else 0
    return bench.decoder.kv_bytes_per_token(bench.kept(method)) * state.length + sketch


def _bytes_read(attended: list[int], reused: list[float], depth: int, row_bytes: int, layers: int, dense: bool) -> int:
    """Bytes of keys and values that a decode step must read: all of them, or all keys when it selects plus what it attends."""
    if dense:
        return depth * row_bytes * layers
    selecting = 1 - sum(reused) / len(reused) if reused else 1.0
    return round(layers * (selecting * depth * row_bytes / 2 + row_bytes * sum(attended) / len(attended)))


def _with_ratio(row: BenchRow, base: float | None) -> BenchRow:
    rate = row.fields.get("avg_ts")
    ratio = rate / base if rate and base else None
    return BenchRow(row.test, row.method, row.fields, row.skipped, ratio)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
