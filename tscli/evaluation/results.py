"""Trials to figures: accuracy with its interval per task, length and method, over all depths and by depth. Plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tscli.evaluation.run import Trial
from tscli.evaluation.score import interval95

BANDS = 5  # of depth


@dataclass(frozen=True)
class Result:
    """accuracy: mean score of n trials; depth: the middle of a fifth of the context, None: over all depths."""

    task: str
    length: int
    depth: float | None
    method: str
    n: int
    accuracy: float
    ci95: tuple[float, float]


def results_of(trials: Iterable[Trial]) -> list[Result]:
    """One per task, length and method, each followed by those of its depths, in the order of the trials."""
    groups: dict[tuple[str, int, str], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.task, trial.length, trial.method), []).append(trial)
    found = []
    for (task, length, method), group in groups.items():
        found.append(_result(task, length, None, method, group))
        bands: dict[float, list[Trial]] = {}
        for trial in group:
            if trial.depth is not None:
                band = min(BANDS - 1, int(trial.depth * BANDS))
                bands.setdefault((band + 0.5) / BANDS, []).append(trial)
        if len(bands) > 1:
            found += [_result(task, length, depth, method, bands[depth]) for depth in sorted(bands)]
    return found


def _result(task: str, length: int, depth: float | None, method: str, trials: Sequence[Trial]) -> Result:
    total = sum(trial.score for trial in trials)
    return Result(task, length, depth, method, len(trials), total / len(trials), interval95(total, len(trials)))
