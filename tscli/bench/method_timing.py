"""How long one layer's attention takes by one method: calls over other queries and other layers' keys, and their median."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import stdev

import torch
from torch import Tensor

SLOW_S = 10.0  # a call that takes so long is not repeated

Method = Callable[[Tensor, int], object]  # query [q_heads, t, head_dim], layer


@dataclass(frozen=True)
class Timing:
    """seconds: the median of so many repetitions; stddev: theirs, 0 for one."""

    seconds: float
    stddev: float
    repetitions: int


def time_method(method: Method, queries: Sequence[Tensor], layers: int, repetitions: int, device: torch.device) -> Timing:
    """One call to warm up, then each with another query over another layer."""
    slow = seconds_of(lambda: method(queries[0], 0), device) > SLOW_S
    times = []
    for number in range(1, 2 if slow else repetitions + 1):
        query, layer = queries[number % len(queries)], number % layers
        times.append(seconds_of(lambda query=query, layer=layer: method(query, layer), device))  # type: ignore[misc]
    return Timing(sorted(times)[len(times) // 2], stdev(times) if len(times) > 1 else 0.0, len(times))


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
