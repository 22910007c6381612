"""One line of a benchmark and the whole of it, with llama-bench's field names. No timing here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
