"""Accuracy as a picture: by length for every method, and by length and depth for one; matplotlib, which is an extra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tscli.errors import UsageError
from tscli.evaluation.results import BANDS, Result

COLOURS = ("#1b6ca8", "#c8553d", "#6a8d3a", "#8b5fa3", "#b58a1d", "#4f5d6b")
COLUMNS = 3


def check_picture(file: Path) -> None:
    """UsageError where `draw` could not write this file: worth knowing before hours of evaluation."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise UsageError('pictures need matplotlib: pip install "tscli[pictures]"') from error
    kinds = FigureCanvasBase.get_supported_filetypes()
    if file.suffix.lower().removeprefix(".") not in kinds:
        raise UsageError(f"{file}: unsupported image format; choose a name that ends in .png, .svg or .pdf")
    if not file.parent.is_dir():
        raise UsageError(f"{file}: {file.parent} is not a folder; create it, or name another file")
    if file.is_dir():
        raise UsageError(f"{file}: is a folder; name a file in it")


def draw(results: Sequence[Result], file: Path) -> None:
    """A panel per task with a line per method; below, depth by length for the last method with depths. PNG, SVG or PDF.

    Raises UsageError without matplotlib, or for a file that cannot be written.
    """
    check_picture(file)
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(result.task for result in results))
    deep = _deep(results)
    rows = -(-len(tasks) // COLUMNS) + bool(deep)
    figure = Figure(figsize=(3.6 * COLUMNS, 2.7 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, COLUMNS)
    for number, task in enumerate(tasks):
        axes = figure.add_subplot(grid[number // COLUMNS, number % COLUMNS])
        _lines(axes, task, results, legend=number == 0)
    if deep:
        _map(figure.add_subplot(grid[rows - 1, :]), deep)
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written ({error.strerror}); name another file") from error


def _lines(axes: Any, task: str, results: Sequence[Result], *, legend: bool) -> None:
    methods = list(dict.fromkeys(result.method for result in results))
    lengths = sorted({result.length for result in results})
    for colour, method in zip(_cycled(len(methods)), methods, strict=True):
        points = [r for r in results if (r.task, r.method, r.depth) == (task, method, None)]
        at = [lengths.index(r.length) for r in points]
        axes.plot(at, [100 * r.accuracy for r in points], marker="o", markersize=3.5, color=colour, label=method)
        low, high = ([100 * r.ci95[side] for r in points] for side in (0, 1))
        axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_title(task, fontsize=10, loc="left")
    axes.set_xticks(range(len(lengths)), [_short(length) for length in lengths], fontsize=8)
    axes.set_ylim(-3, 103)
    axes.set_yticks((0, 50, 100), ("0", "50", "100 %"), fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    if legend:
        axes.legend(fontsize=7, frameon=False)


def _deep(results: Sequence[Result]) -> list[Result]:
    """The results by depth of the method that most is known of; TokenSelect before others."""
    methods = list(dict.fromkeys(r.method for r in results if r.depth is not None))
    chosen = "tokenselect" if "tokenselect" in methods else methods[-1] if methods else None
    return [r for r in results if r.method == chosen and r.depth is not None]


def _map(axes: Any, results: Sequence[Result]) -> None:
    """Mean accuracy over all tasks with depths, a row per fifth of the context, a column per length."""
    lengths = sorted({result.length for result in results})
    cells = [[_mean([r for r in results if r.length == n and _band(r) == band]) for n in lengths] for band in range(BANDS)]
    axes.imshow(cells, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for band, row in enumerate(cells):
        for column, share in enumerate(row):
            shown = "" if math.isnan(share) else f"{share:.0%}"
            axes.text(column, band, shown, ha="center", va="center", fontsize=8, color="white" if share > 0.6 else "#222222")
    axes.set_title(f"{results[0].method}: by depth of the needle, all tasks", fontsize=10, loc="left")
    axes.set_xticks(range(len(lengths)), [_short(length) for length in lengths], fontsize=8)
    axes.set_yticks(range(BANDS), [f"{band / BANDS:.0%}-{(band + 1) / BANDS:.0%}" for band in range(BANDS)], fontsize=8)


def _band(result: Result) -> int:
    assert result.depth is not None
    return int(result.depth * BANDS)


def _mean(results: Sequence[Result]) -> float:
    return sum(r.accuracy * r.n for r in results) / sum(r.n for r in results) if results else float("nan")


def _cycled(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _short(length: int) -> str:
    if length % 1024:
        return f"{length:,}"
    return f"{length // 1048576}M" if length % 1048576 == 0 else f"{length // 1024}K"
