"""One line of a benchmark and the whole of it, with llama-bench's field names. No timing here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any


class Unavailable(Exception):
    """Why a method cannot be measured here; its row says so behind "skipped: ", and nothing else stops."""


@dataclass(frozen=True)
class BenchRow:
    """One test: "pp262144" (prefill) or "tg128 @ d262144" (decode at depth), by one method.

    fields: llama-bench's and our own figures; ratio: this method's tokens per second over dense in the same run;
    skipped: why it was not measured.
    """

    test: str
    method: str
    fields: dict[str, Any]
    skipped: str | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class BenchResult:
    """All rows of one run."""

    rows: list[BenchRow]

    def to_json(self) -> list[dict[str, Any]]:
        """A JSON object per row."""
        return [
            {"test": row.test, "method": row.method, **row.fields, "ratio": row.ratio, "skipped": row.skipped}
            for row in self.rows
        ]


def filled_fields(num_run: int, length: int) -> dict[str, Any]:
    """Of a context's tokens, how many the model ran, and how many have copies of their keys and values."""
    return {"n_run": num_run, "n_repeated": length - num_run}


def timing_fields(seconds: Sequence[float], tokens: int) -> dict[str, Any]:
    """llama-bench's summary of repetitions that each passed `tokens` tokens; deviations with n - 1."""
    rates = [tokens / s for s in seconds]
    return {
        "avg_ns": round(_mean(seconds) * 1e9),
        "stddev_ns": round(_deviation(seconds) * 1e9),
        "avg_ts": _mean(rates),
        "stddev_ts": _deviation(rates),
        "samples_ns": [round(s * 1e9) for s in seconds],
        "samples_ts": rates,
    }


def waited_fields(ttft_s: Sequence[float], n_question: Sequence[int]) -> dict[str, Any]:
    """Of questions, the time to each answer's first token, and the tokens of each with its prompt."""
    return {
        "ttft_ms": 1e3 * median(ttft_s),
        "ttft_samples_ms": [1e3 * s for s in ttft_s],
        "n_question": list(n_question),
    }


def decode_fields(runs: Sequence[Sequence[float]], n_gen: int) -> dict[str, Any]:
    """From the times at which each run began and made its tokens."""
    gaps = [later - earlier for times in runs for earlier, later in pairwise(times[1:])]
    return {
        **timing_fields([times[-1] - times[0] for times in runs], n_gen),
        "ttft_ms": 1e3 * sum(times[1] - times[0] for times in runs) / len(runs),
        "tpot_ms": 1e3 * sum(gaps) / len(gaps) if gaps else None,
        "itl_ms": sorted(1e3 * gap for gap in gaps)[len(gaps) // 2] if gaps else None,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
