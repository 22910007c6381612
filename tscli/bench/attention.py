"""`tscli bench --attention`: one layer's attention at a length, the best dense way against each way of selecting.

One 512-query chunk and one decode step, on keys and queries with the statistics of real ones (`inputs`). Every call reads
another layer's copy, so that no cache holds the keys from call to call, unless those of a model's layers would fit. Times are
medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from statistics import stdev

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tscli.bench.inputs import PRESETS, Shape, draw_inputs
from tscli.errors import UsageError
from tscli.model.attention import AttentionRun, LayerCall
from tscli.model.kv import KVState
from tscli.model.load import pick_device
from tscli.model.rotary import Rotator
from tscli.selection.candidates import num_candidates
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import ENOUGH, WIDEN, Guard
from tscli.selection.selection_cache import SelectionCache
from tscli.selection.sketch import Sketch

CACHE_BYTES = 256 << 20  # more than any processor's caches hold
LAYERS = 64  # copies at most: a model has hardly more layers, whose short contexts a cache holds in use, too
BLOCK = 65_536  # keys that blocked dense attention takes at a time
COPY_BYTES = 512 << 20
STEPS = 5  # times as many of what takes milliseconds
DENSE_CHUNKS, SLOW_S = 3, 10.0  # of dense chunks, which take seconds; one where it takes so long


@dataclass(frozen=True)
class AttentionRow:
    """One measurement.

    test: "chunk", "decode", or "scan", the part of a step that reads the keys, or their sketch. ms: median milliseconds. ratio:
    best dense time over this one; of a scan, the time that adding up the same bytes takes over this one, which is its
    share of the read bandwidth. bytes: what the method has to read. bandwidth_share: bytes over time, of the bandwidth that a
    copy reaches here. vote_mass: share of the exact selection's votes, where it approximates. widened: times as many
    candidates as usual, as the engine's guard takes where the votes held are too few. stddev_ms (n - 1) and repetitions: of the
    measurements behind ms.
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
    return 2 * COPY_BYTES / min(_seconds(lambda: target.copy_(source), device) for _ in range(5))


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
        dense = _dense_ways(inputs.pages.key[0], inputs.pages.value[0], rotator, layers)
        found = {name: _measured(way, queries, layers, _times(test, name, repetitions), device) for name, way in dense.items()}
        del dense
        factor, mass = _widened(state, rotator, config, queries)
        for name, (chosen, reuse) in _ways(config, test).items():
            say(f"{length:,} tokens, {test}: {name}")
            way = _sparse(state, rotator, chosen, shape, reuse, queries[0], layers, factor)
            found[name] = _measured(way, queries, layers, _times(test, name, repetitions), device)
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
    """The scan of all keys and that of their sketch for candidates, each beside a sum over the same bytes; query:
    [q_heads, head_dim] float32."""
    pages, device = state.segments[0].key, query.device
    reached = state.scores(0, query, length).topk(max(1, length // 256)).values[:, -1] - sketch.shift(0, query)
    ways: dict[str, tuple[Tensor, Way]] = {
        "exact": (pages, lambda _, layer: state.scores(layer, query, length)),
        "sketch": (sketch.key_codes, lambda _, layer: sketch.reaching(layer, query, 0, length, reached)),
    }
    rows = []
    for name, (numbers, way) in ways.items():
        words, times, size = numbers.flatten(1).view(torch.int64), repetitions * STEPS, numbers[0].nbytes
        read = _measured(lambda _, layer, words=words: words[layer].sum(), [query], len(words), times, device)  # type: ignore[misc]
        made = _measured(way, [query], len(words), times, device)
        share = size / made.seconds / bandwidth
        spread = 1e3 * made.stddev, made.repetitions
        ratio = read.seconds / made.seconds
        rows.append(AttentionRow("scan", length, name, 1e3 * made.seconds, ratio, size, share, None, None, *spread))
    return rows


Way = Callable[[Tensor, int], object]  # query [q_heads, t, head_dim], layer


def _dense_ways(key_pages: Tensor, value_pages: Tensor, rotator: Rotator, layers: int) -> dict[str, Way]:
    """Dense attention over keys that are rotated and contiguous already; no mask, which only makes it faster."""
    key, value = (pages.transpose(0, 1).flatten(1, 2) for pages in (key_pages, value_pages))  # [kv_heads, n, head_dim]
    places = torch.arange(key.shape[1], device=key.device)
    turned = torch.cat([rotator(part, at, 0, length=key.shape[1]) for part, at in _blocks(key, places)], dim=1)
    keys, values = [turned, *(turned.clone() for _ in range(layers - 1))], [value, *(value.clone() for _ in range(layers - 1))]

    def sdpa(query: Tensor, layer: int) -> object:
        if query.shape[1] == 1:  # a group's heads stand as queries of one head: its keys are read once
            query = query.unflatten(0, (turned.shape[0], -1)).flatten(1, 2)
        gqa = query.shape[0] != turned.shape[0]
        return scaled_dot_product_attention(query[None], keys[layer][None], values[layer][None], enable_gqa=gqa)

    def matmul(query: Tensor, layer: int) -> object:
        grouped = query.unflatten(0, (turned.shape[0], -1)).flatten(1, 2)  # [kv_heads, group * t, head_dim]
        if grouped.shape[1] < 64:
            scores = torch.matmul(grouped, keys[layer].transpose(1, 2)).float() * query.shape[-1] ** -0.5
            return torch.matmul(torch.softmax(scores, dim=-1).to(query.dtype), values[layer])
        return _blocked(grouped, keys[layer], values[layer])

    return {"dense-sdpa": sdpa, "dense-matmul": matmul, **_libraries(keys, values)}


def _libraries(keys: list[Tensor], values: list[Tensor]) -> dict[str, Way]:
    """FlashInfer and flash-attn, where they are installed and there is a GPU."""
    if keys[0].device.type != "cuda":
        return {}
    ways: dict[str, Way] = {}
    with suppress(ImportError):
        ways["dense-flashinfer"] = _flashinfer(keys, values)
    with suppress(ImportError):
        ways["dense-flash-attn"] = _flash_attn(keys, values)
    return ways


def _flashinfer(keys: list[Tensor], values: list[Tensor]) -> Way:
    import flashinfer

    def step(query: Tensor, layer: int) -> object:
        key, value = keys[layer], values[layer]
        if query.shape[1] == 1:
            return flashinfer.single_decode_with_kv_cache(query[:, 0], key, value, kv_layout="HND")
        return flashinfer.single_prefill_with_kv_cache(query.transpose(0, 1), key, value, kv_layout="HND")

    return step


def _flash_attn(keys: list[Tensor], values: list[Tensor]) -> Way:
    from flash_attn import flash_attn_func

    def step(query: Tensor, layer: int) -> object:
        return flash_attn_func(*(part.transpose(0, 1)[None] for part in (query, keys[layer], values[layer])))

    return step


def _blocked(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention block by block with running maximum and sum; query [kv_heads, rows, head_dim]."""
    highest = query.new_full((*query.shape[:2], 1), float("-inf"), dtype=torch.float32)
    total, out = torch.zeros_like(highest), torch.zeros_like(query, dtype=torch.float32)
    for start in range(0, key.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        scores = torch.matmul(query, key[:, part].transpose(1, 2)).float() * query.shape[-1] ** -0.5
        top = torch.maximum(highest, scores.amax(-1, keepdim=True))
        weights, shrink = torch.exp(scores - top), torch.exp(highest - top)
        total = total * shrink + weights.sum(-1, keepdim=True)
        out = out * shrink + torch.matmul(weights.to(query.dtype), value[:, part]).float()
        highest = top
    return out / total


def _ways(config: SelectionConfig, test: str) -> dict[str, tuple[SelectionConfig, bool]]:
    """Settings of each way of selecting, and whether it reuses a selection."""
    ways = {"tokenselect-exact": (replace(config, scan="exact"), False), "tokenselect-sketch": (config, False)}
    return ways if test == "chunk" else {**ways, "tokenselect-cached": (config, True)}


def _sparse(
    state: KVState,
    rotator: Rotator,
    config: SelectionConfig,
    shape: Shape,
    reuse: bool,
    first: Tensor,
    layers: int,
    factor: int,
) -> Way:
    """Selection and attention as the engine runs them, the new tokens' keys and values being those of the first tokens."""
    cache = SelectionCache(-1.0) if reuse else None
    run = AttentionRun(state, rotator, config, reuse=cache, guard=_Widened(factor))
    key, value = (torch.zeros(shape.kv_heads, first.shape[1], shape.head_dim, dtype=shape.dtype, device=first.device),) * 2

    def way(query: Tensor, layer: int) -> object:
        return run(query, key, value, LayerCall(layer, shape.head_dim**-0.5, None, None))

    for layer in range(layers):  # of a selection that is reused the hits are measured; what a layer keeps of its sketch is made
        way(first, layer)
    return way


class _Widened(Guard):
    """A guard that has compared enough."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self._constant = factor

    def due(self) -> bool:
        """Never: comparisons are no part of what is measured."""
        return False

    def factor(self, layer: int) -> int:
        """The same for all layers."""
        return self._constant


def _widened(state: KVState, rotator: Rotator, config: SelectionConfig, queries: Sequence[Tensor]) -> tuple[int, float]:
    """How many times as many candidates hold ENOUGH of the exact selections' votes, in the mean of the queries, and how much
    they hold."""
    local_start, exact, factor = state.length - config.n_local, AttentionRun(state, rotator, replace(config, scan="exact")), 1
    wanted = [exact._select(query, 0, local_start)[0] for query in queries[:16]]
    while True:
        guard, held = Guard(), AttentionRun(state, rotator, config, guard=_Widened(factor))
        for query, best in zip(queries, wanted, strict=False):
            guard.compare(0, held._select(query, 0, local_start)[0], best)
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


def _blocks(key: Tensor, places: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(key.split(BLOCK, dim=1), places.split(BLOCK), strict=True))


def _times(test: str, name: str, repetitions: int) -> int:
    """How often a way is measured."""
    if test == "chunk":
        return min(DENSE_CHUNKS, repetitions) if name.startswith("dense") else repetitions
    return repetitions * STEPS


@dataclass(frozen=True)
class _Measured:
    """seconds: the median of so many repetitions; stddev: theirs, 0 for one."""

    seconds: float
    stddev: float
    repetitions: int


def _measured(way: Way, queries: Sequence[Tensor], layers: int, repetitions: int, device: torch.device) -> _Measured:
    """One call to warm up, then each with another query over another layer."""
    slow = _seconds(lambda: way(queries[0], 0), device) > SLOW_S
    times = []
    for number in range(1, 2 if slow else repetitions + 1):
        query, layer = queries[number % len(queries)], number % layers
        times.append(_seconds(lambda query=query, layer=layer: way(query, layer), device))  # type: ignore[misc]
    return _Measured(sorted(times)[len(times) // 2], stdev(times) if len(times) > 1 else 0.0, len(times))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
