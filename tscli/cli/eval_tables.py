"""What `tscli eval tasks` prints: tables, accuracy drawn in the terminal, JSON, CSV, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tscli
from tscli.cli.tables import Table, draw, write

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from tscli.internals import Agreement, FidelityResult, Result

SHADES = " ░▒▓█"
BANDS = 5  # of depth, as the results have them


def print_results(
    results: Sequence[Result],
    fidelity: Sequence[FidelityResult],
    agreement: Sequence[Agreement],
    settings: dict[str, Any],
    output: str,
) -> None:
    """On stdout, in this format: table, md, json or csv."""
    whole: dict[str, Any] = {"results": [vars(r) for r in results], "fidelity": [vars(f) for f in fidelity]}
    whole |= {"agreement": [vars(a) for a in agreement], "settings": settings, "versions": tscli.versions()}
    records = [{**vars(r), "ci95": f"{r.ci95[0]:.4f}-{r.ci95[1]:.4f}"} for r in results]
    if output == "table":
        _draw_all(results, fidelity)
    else:
        write(output, _accuracy(results), records, whole)
    if output == "md" and fidelity:
        print()
        write("md", _fidelity(fidelity), records)
    if output in ("md", "table"):
        _print_agreement(agreement)


def _accuracy(results: Sequence[Result]) -> Table:
    """A row per task and length, a column per method."""
    methods = list(dict.fromkeys(result.method for result in results))
    whole = {(r.task, r.length, r.method): r for r in results if r.depth is None}
    rows = []
    for task, length in dict.fromkeys((task, length) for task, length, _ in whole):
        found = [whole.get((task, length, method)) for method in methods]
        cells = [f"{r.accuracy:.0%} ({r.ci95[0]:.0%}-{r.ci95[1]:.0%})" if r else "" for r in found]
        rows.append([task, f"{length:,}", str(max(r.n for r in found if r)), *cells])
    return Table(["task", "length", "n", *methods], f"<>>{'>' * len(methods)}", rows)


def _fidelity(fidelity: Sequence[FidelityResult]) -> Table:
    def row(f: FidelityResult) -> list[str]:
        same = "skipped: too long for dense" if f.agreement is None else f"{f.agreement:.0%}"
        divergence = "skipped" if f.kl is None else f"{f.kl:.3f}"
        held = ["" if share is None else f"{share:.1%}" for share in (f.vote_mass, f.recall)]
        return [f"{f.length:,}", f.method, str(f.steps), *held, same, divergence]

    heads = ["length", "method", "steps", "vote mass", "recall@k", "same token as dense", "KL(dense || sparse), nats"]
    return Table(heads, "><>>>>>", [row(f) for f in fidelity])


def _print_agreement(agreement: Sequence[Agreement]) -> None:
    for found in agreement:
        print(f"\n{found.length:,} tokens, {found.method}: {found.identical} of {found.n} answers identical with {found.other}")


def _draw_all(results: Sequence[Result], fidelity: Sequence[FidelityResult]) -> None:
    from rich.console import Console

    for title, table in (("accuracy (95% interval)", _accuracy(results)), ("fidelity of decode steps", _fidelity(fidelity))):
        if table.rows:
            draw(table, title)
    _draw(Console(highlight=False, emoji=False, markup=False), results)


def _draw(console: Console, results: Sequence[Result]) -> None:
    """Mean accuracy over the tasks by length, a bar per method, and by length and depth of the needle."""
    methods, lengths = list(dict.fromkeys(r.method for r in results)), sorted({r.length for r in results})
    whole = [r for r in results if r.depth is None]
    console.print("mean accuracy of all tasks, by length")
    for length in lengths:
        for method in methods:
            if (share := _mean([r for r in whole if (r.length, r.method) == (length, method)])) is not None:
                console.print(_bar(f"{length:>9,}  {method:<{max(map(len, methods))}}  ", share))
    deep = [r for r in results if r.depth is not None]
    for method in dict.fromkeys(r.method for r in deep):
        console.print(f"by depth of the needle: {method} (left: beginning of the text)")
        for length in lengths:
            cells = [
                _mean([r for r in deep if (r.length, r.method) == (length, method) and int((r.depth or 0) * BANDS) == band])
                for band in range(BANDS)
            ]
            if any(cell is not None for cell in cells):
                console.print(f"{length:>9,}  " + "  ".join(_cell(cell) for cell in cells))


def _bar(label: str, share: float) -> RenderableType:
    filled = round(30 * share)
    return f"{label}{'█' * filled}{'·' * (30 - filled)} {share:>4.0%}"


def _cell(share: float | None) -> str:
    if share is None:
        return " " * 7
    return f"{SHADES[min(4, int(share * 5))] * 2} {share:>4.0%}"


def _mean(results: Sequence[Result]) -> float | None:
    total = sum(r.n for r in results)
    return sum(r.accuracy * r.n for r in results) / total if total else None
