"""Trials to figures: accuracy with its interval per task, length and method, over all depths and by depth; equal answers.

Plain data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tscli.evaluation.fidelity import Fidelity, pooled
from tscli.evaluation.score import interval95
from tscli.evaluation.trial import Trial

BANDS = 5  # of depth
PLAIN = "tokenselect"  # the method that others are compared with


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


@dataclass(frozen=True)
class FidelityResult(Fidelity):
    """The fidelity of one method at one length."""

    length: int
    method: str


def fidelity_of(trials: Iterable[Trial]) -> list[FidelityResult]:
    """One per length and method, of those trials in which it was measured."""
    groups: dict[tuple[int, str], list[Fidelity]] = {}
    for trial in trials:
        if trial.fidelity is not None:
            groups.setdefault((trial.length, trial.method), []).append(trial.fidelity)
    return [FidelityResult(**vars(pooled(parts)), length=n, method=method) for (n, method), parts in groups.items()]


@dataclass(frozen=True)
class Agreement:
    """How many of n answers of a method at one length are, to the letter, those of another one."""

    length: int
    method: str
    other: str
    n: int
    identical: int


def agreement_of(trials: Iterable[Trial]) -> list[Agreement]:
    """Of every TokenSelect with a setting changed, with the one without; one per length and method, where both were asked."""
    answers: dict[tuple[int, str], dict[tuple[str, str], str]] = {}
    for trial in trials:
        answers.setdefault((trial.length, trial.method), {})[trial.task, trial.question] = trial.answer
    found = []
    for (length, method), given in answers.items():
        plain = answers.get((length, PLAIN), {})
        both = [given[key] == plain[key] for key in given if key in plain]
        if method.startswith(f"{PLAIN}-") and both:
            found.append(Agreement(length, method, PLAIN, len(both), sum(both)))
    return found


def _result(task: str, length: int, depth: float | None, method: str, trials: Sequence[Trial]) -> Result:
    total = sum(trial.score for trial in trials)
    return Result(task, length, depth, method, len(trials), total / len(trials), interval95(total, len(trials)))
