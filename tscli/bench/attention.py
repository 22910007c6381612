"""`tscli bench attention`: one layer's attention at a length, the best dense attention beside each kind of selection.

One 512-query chunk and one decode step, on keys and queries with the statistics of real ones (`inputs`). Every call reads
another layer's copy, so that no cache holds the keys from call to call, unless those of a model's layers would fit. Times are
medians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from tscli.bench.dense_attention import dense_methods
from tscli.bench.inputs import PRESETS, Shape, draw_inputs
from tscli.bench.method_timing import Method, seconds_of, time_method
from tscli.errors import UsageError
from tscli.model.attention import Attention
from tscli.model.kv import KVState
from tscli.model.load import pick_device
from tscli.model.rotary import Rotator
from tscli.model.selectors import ExactSelector, LayerQuery, SelectionCache, Selector, SketchSelector
from tscli.model.step import LayerCall
from tscli.selection.candidates import num_candidates
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import ENOUGH, WIDEN, Guard
from tscli.selection.sketch import Sketch

CACHE_BYTES = 256 << 20  # more than any processor's caches hold
LAYERS = 64  # copies at most: a model has hardly more layers, whose short contexts a cache holds in use, too
COPY_BYTES = 512 << 20
STEPS = 5  # times as many of what takes milliseconds
HEAD_QUERIES = 32  # that vote on one kv head's keys at a time
DENSE_CHUNKS = 3  # repetitions of dense chunks, which take seconds


@dataclass(frozen=True)
class AttentionRow:
    """One measurement.

    test: "chunk", "decode", or "scan", the part of a step that reads the keys or their sketch, or, as retrieval heads do, those
    of one kv head. ms: median milliseconds. ratio: best dense time over this one; of a scan, the time that adding up the same
    bytes takes over this one, which is its share of the read bandwidth. bytes: what the method has to read. bandwidth_share:
    bytes over time, of the bandwidth that a copy reaches here. vote_mass: share of the exact selection's votes, where it
    approximates. widened: times as many candidates as usual, as the engine's guard takes where the votes held are too few.
    stddev_ms (n - 1) and repetitions: of the measurements behind ms.
    """

    test: str
    length: int
    method: str
    ms: float
    ratio: float
    bytes: int
    bandwidth_share: float
    vote_mass: float | None = None
    widened: int | None = None
    stddev_ms: float = 0.0
    repetitions: int = 1


@dataclass(frozen=True)
class AttentionBench:
    """All rows, and on what they were measured."""

    rows: list[AttentionRow]
    settings: dict[str, object]

    def to_json(self) -> dict[str, object]:
        """`results`, a JSON object per row, and `settings`."""
        return {"results": [asdict(row) for row in self.rows], "settings": self.settings}


def benchmark_attention(
    lengths: Sequence[int],
    preset: str = "reader",
    repetitions: int = 5,
    device: str = "auto",
    on_progress: Callable[[str], None] | None = None,
) -> AttentionBench:
    """Measure each length with the shapes of a preset; UsageError for one that there is not."""
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: choose {', '.join(PRESETS)}")
    config = SelectionConfig()
    if any(length < 2 * config.window for length in lengths) or repetitions < 1:
        raise UsageError(f"lengths must be at least {2 * config.window:,} tokens and -r at least 1")
    say, place, shape = on_progress or (lambda _: None), pick_device(device), PRESETS[preset]
    bandwidth = copy_bandwidth(place)
    rows = [row for length in lengths for row in _measure(shape, length, config, repetitions, place, bandwidth, say)]
    settings = {
        "preset": preset,
        **asdict(shape),
        **asdict(config),
        "repetitions": repetitions,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "copy_bytes_per_s": round(bandwidth),
    }
    return AttentionBench(rows, settings)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by copying a large tensor; the best of five."""
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / min(seconds_of(lambda: target.copy_(source), device) for _ in range(5))


@torch.inference_mode()
def _measure(
    shape: Shape,
    length: int,
    config: SelectionConfig,
    repetitions: int,
    device: torch.device,
    bandwidth: float,
    say: Callable[[str], None],
) -> list[AttentionRow]:
    say(f"{length:,} tokens: making keys and queries")
    inputs = draw_inputs(shape, length, config.n_local, device)
    sketch_bytes = inputs.sketch.key_codes[0].nbytes * length // inputs.sketch.key_codes.shape[3]
    layers = min(LAYERS, max(1, -(-CACHE_BYTES // sketch_bytes)))
    state = KVState([inputs.pages.copies(layers)], layers=layers, dtype=shape.dtype, device=device, **shape.heads)
    state.sketch = inputs.sketch_of(layers)
    rotator = shape.rotator(device)
    say(f"{length:,} tokens: scans")
    rows = _scan_rows(state, state.sketch, inputs.steps[0][:, 0].float(), length, repetitions, bandwidth)
    for test, queries in (("chunk", inputs.chunks), ("decode", inputs.steps)):
        dense = dense_methods(inputs.pages.key[0], inputs.pages.value[0], rotator, layers)
        found = {
            name: time_method(method, queries, layers, _times(test, name, repetitions), device)
            for name, method in dense.items()
        }
        del dense
        factor, mass = _widened(state, rotator, config, queries)
        for name, (chosen, reuse) in _sparse_methods(config, test).items():
            say(f"{length:,} tokens, {test}: {name}")
            method = _sparse(state, rotator, chosen, shape, reuse, queries[0], layers, factor)
            found[name] = time_method(method, queries, layers, _times(test, name, repetitions), device)
        best = min(made.seconds for name, made in found.items() if name.startswith("dense"))
        for name, made in found.items():
            read = _bytes(name, shape, length, config, factor)
            held: tuple[float | None, int | None] = (mass, factor) if name == "tokenselect-sketch" else (None, None)
            share, spread = read / made.seconds / bandwidth, (1e3 * made.stddev, made.repetitions)
            rows.append(AttentionRow(test, length, name, 1e3 * made.seconds, best / made.seconds, read, share, *held, *spread))
    return rows


def _scan_rows(
    state: KVState, sketch: Sketch, query: Tensor, length: int, repetitions: int, bandwidth: float
) -> list[AttentionRow]:
    """The scan of all keys, that of their sketch for candidates, and the votes of HEAD_QUERIES queries on one kv head's keys,
    each beside a sum over the same bytes; query: [q_heads, head_dim] float32."""
    pages, device = state.segments[0].key, query.device
    reached = state.scores(0, query, length).topk(max(1, length // 256)).values[:, -1] - sketch.shift(0, query)
    asked, votes = query.repeat(HEAD_QUERIES, 1)[None, :HEAD_QUERIES], torch.empty(1, length, device=device)
    methods: dict[str, tuple[Tensor, Method]] = {
        "exact": (pages, lambda _, layer: state.scores(layer, query, length)),
        "sketch": (sketch.key_codes, lambda _, layer: sketch.reaching(layer, query, 0, length, reached)),
        "head": (pages[:, :, 0], lambda _, layer: state.head_votes(layer, 0, asked, 0, length, votes, [0])),
    }
    rows = []
    for name, (numbers, method) in methods.items():
        words, times, size = numbers.flatten(1).view(torch.int64), repetitions * STEPS, numbers[0].nbytes
        read = time_method(lambda _, layer, words=words: words[layer].sum(), [query], len(words), times, device)  # type: ignore[misc]
        made = time_method(method, [query], len(words), times, device)
        share = size / made.seconds / bandwidth
        spread = 1e3 * made.stddev, made.repetitions
        ratio = read.seconds / made.seconds
        rows.append(AttentionRow("scan", length, name, 1e3 * made.seconds, ratio, size, share, None, None, *spread))
    return rows


def _sparse_methods(config: SelectionConfig, test: str) -> dict[str, tuple[SelectionConfig, bool]]:
    """Settings of each kind of selection, and whether it reuses a selection."""
    methods = {"tokenselect-exact": (replace(config, scan="exact"), False), "tokenselect-sketch": (config, False)}
    return methods if test == "chunk" else {**methods, "tokenselect-cached": (config, True)}


def _sparse(
    state: KVState,
    rotator: Rotator,
    config: SelectionConfig,
    shape: Shape,
    reuse: bool,
    first: Tensor,
    layers: int,
    factor: int,
) -> Method:
    """Selection and attention as the engine runs them, the new tokens' keys and values being those of the first tokens."""
    selector: Selector = SketchSelector(Guard(every=0, factor=factor))
    run = Attention(state, rotator, config, SelectionCache(-1.0, selector) if reuse else selector)
    key, value = (torch.zeros(shape.kv_heads, first.shape[1], shape.head_dim, dtype=shape.dtype, device=first.device),) * 2

    def method(query: Tensor, layer: int) -> object:
        return run(query, key, value, LayerCall(layer, shape.head_dim**-0.5, None, None))

    for layer in range(layers):  # of a selection that is reused the hits are measured; what a layer keeps of its sketch is made
        method(first, layer)
    return method


def _widened(state: KVState, rotator: Rotator, config: SelectionConfig, queries: Sequence[Tensor]) -> tuple[int, float]:
    """How many times as many candidates hold ENOUGH of the exact selections' votes, in the mean of the queries, and how much
    they hold."""
    local_start, factor = state.length - config.n_local, 1
    asked = [LayerQuery(state, rotator, config, 0, query) for query in queries[:16]]
    wanted = [ExactSelector()(query, local_start)[0] for query in asked]
    while True:
        guard, held = Guard(), SketchSelector(Guard(every=0, factor=factor))
        for query, best in zip(asked, wanted, strict=True):
            guard.compare(0, held(query, local_start)[0], best)
        mass = sum(guard.masses) / len(guard.masses)
        if mass >= ENOUGH:
            return factor, mass
        factor *= WIDEN


def _bytes(name: str, shape: Shape, length: int, config: SelectionConfig, factor: int) -> int:
    """What has to be read from memory: keys and values of all tokens, or keys or their sketch and what is selected."""
    per_key = shape.kv_heads * shape.head_dim * shape.dtype.itemsize
    attended = 2 * per_key * (config.n_init + config.k + config.n_local)
    if name.startswith("dense"):
        return 2 * per_key * length
    if name == "tokenselect-exact":
        return per_key * length + attended
    if name == "tokenselect-cached":
        return attended
    return shape.kv_heads * (shape.head_dim // 4) * length + per_key * factor * num_candidates(config.k, length) + attended


def _times(test: str, name: str, repetitions: int) -> int:
    """How often a method is called."""
    if test == "chunk":
        return min(DENSE_CHUNKS, repetitions) if name.startswith("dense") else repetitions
    return repetitions * STEPS
