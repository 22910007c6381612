"""How long an ingest will take, and in how many processes: as many as a short measurement says are faster than one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from tscli.ingest.measure import chunk_seconds, dense_seconds, estimate_seconds, sections_seconds, sketch_seconds
from tscli.memory import physical_bytes
from tscli.model.decoder import Decoder
from tscli.selection.config import SelectionConfig

START_PAYS_S = 20.0  # of work, before other processes are worth their start
WARM_UP = 2  # chunks, for a model may take seconds for each
GAIN_PAYS = 1.05  # times as fast, and memory is
MEMORY_SHARE = 0.5  # of the machine's memory that processes may take
LOADING, PROCESS_BYTES = 2, 1 << 30  # times the weights, while they are converted; what else a process takes


@dataclass(frozen=True)
class Estimate:
    """seconds: with so many processes at a time."""

    seconds: float
    processes: int


def estimate(
    decoder: Decoder,
    config: SelectionConfig,
    spans: Sequence[tuple[int, int]],
    *,
    dense: bool = False,
    documents: int = 1,
    processes: int | None = None,
    kv_dtype: str | None = None,
    context_tokens: int = 0,
    calibrates: bool = True,
    sections: bool = False,
) -> Estimate:
    """How long these spans (first token, number of tokens) of so many documents, each run by itself, will take.

    processes: None for as many as pay. kv_dtype: of the pages. context_tokens, calibrates: of the library's sketch. sections:
    documents are cut into what fits the model's window, and there is no sketch.
    """
    num_new = sum(num_tokens for _, num_tokens in spans)
    if sections:
        seconds, sketch_s = sections_seconds(decoder, spans, kv_dtype), 0.0
    else:
        seconds = estimate_seconds(decoder, config, spans, dense=dense, kv_dtype=kv_dtype)
        sketch_s = sketch_seconds(decoder, config, context_tokens, num_new, dense=dense, calibrates=calibrates)
    most = min(documents, processes or _most_processes(decoder)) if decoder.device.type == "cpu" else 1
    if most < 2 or (processes is None and seconds < START_PAYS_S):
        return Estimate(seconds + sketch_s, 1)
    gain = _gain_of(
        most, partial(dense_seconds, decoder) if sections else partial(chunk_seconds, decoder, config, dense, WARM_UP)
    )
    if processes is None and gain < GAIN_PAYS:
        return Estimate(seconds + sketch_s, 1)
    return Estimate(seconds / gain + sketch_s, most)  # the sketch is this process's


def _most_processes(decoder: Decoder) -> int:
    """Not more than there are threads, or fit in memory."""
    weights = sum(part.nbytes for part in decoder.weights)
    fit = int(MEMORY_SHARE * (physical_bytes() or 0) / (LOADING * weights + PROCESS_BYTES))
    return min(torch.get_num_threads(), fit)


def _gain_of(processes: int, chunk_s: Callable[[], float]) -> float:
    """How many times as fast so many processes are as one, which has all threads; by a chunk in one's share of the threads."""
    threads, by_all = torch.get_num_threads(), chunk_s()
    with share_of_threads(processes):
        by_share = chunk_s()
    return min(processes, threads) * by_all / by_share


@contextlib.contextmanager
def share_of_threads(processes: int) -> Iterator[int]:
    """Leave threads to the other processes; how many this one computes with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // processes))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(threads)
