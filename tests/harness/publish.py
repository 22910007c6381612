"""The evaluation in docs/benchmarks.md: `python -m tests.harness.publish [--max-length 1m]`, from the project's top level.

Look-up at every length by dense attention, StreamingLLM and TokenSelect; then one setting at a time changed at one length.
Writes docs/results/DATE-eval-DEVICE.json, docs/pictures/accuracy.svg and the tables between the marks in docs/benchmarks.md.
Answers are kept in .evaluation/ as they come: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from tscli.evaluation.fidelity import Fidelity
from tscli.evaluation.picture import draw
from tscli.evaluation.results import Result, fidelity_of, results_of
from tscli.evaluation.run import evaluate_tasks
from tscli.evaluation.trial import Trial
from tscli.ingest.doctor import processor
from tscli.library.catalogue import versions
from tscli.model.options import EMBEDDED, LoadOptions
from tscli.tokens.counts import parse_count

LENGTHS = ("1900", "4k", "8k", "16k", "64k", "256k", "1m")
TASKS = ("single-words", "single-numbers", "single-uuids", "multikey")
METHODS = ("dense", "streaming", "tokenselect")
EXACT, EXACT_TO = "tokenselect-scan=exact", "256k"  # beyond, it takes longer than all else together
SWEEP_LENGTH = "16k"
SWEEPS = {
    "k": ("32", "64", "128", "256", "512"),
    "theta": ("0.5", "0.8", "0.9", "1.01"),
    "metric": ("soft", "hard", "raw"),
    "question": ("two_pass", "token", "chunk"),
    "pool": ("0", "9", "33"),
    "scale": ("none", "sqrt"),
    "head_mapping": ("grouped", "modulo"),
}
PER_TASK, MAX_DENSE, FIDELITY = 20, 16_384, 2
PAGE = Path("docs") / "benchmarks.md"  # where the tables are shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-length", default="1m", help="leave out longer contexts")
    parser.add_argument("--root", type=Path, default=Path(), help="where docs/ is")
    args = parser.parse_args()
    longest = parse_count(args.max_length)
    kept = args.root / ".evaluation"
    kept.mkdir(exist_ok=True)
    lengths = [n for n in map(parse_count, LENGTHS) if n <= longest]
    short = [n for n in lengths if n <= parse_count(EXACT_TO)]
    by_length = [*_run(short, (*METHODS, EXACT), kept / "lengths.jsonl", FIDELITY)]
    by_length += _run([n for n in lengths if n not in short], METHODS, kept / "lengths.jsonl", FIDELITY)
    sweep = [f"tokenselect-{name}={value}" for name, values in SWEEPS.items() for value in values]
    by_setting = list(_run([parse_count(SWEEP_LENGTH)], sweep, kept / "sweeps.jsonl", 0))
    results, sweeps, fidelity = results_of(by_length), results_of(by_setting), fidelity_of(by_length)
    write(args.root, results, sweeps, fidelity)


def _run(lengths: Sequence[int], methods: Sequence[str], file: Path, fidelity: int) -> Iterable[Trial]:
    return evaluate_tasks(
        lengths,
        TASKS,
        methods,
        LoadOptions(EMBEDDED),
        num_questions=PER_TASK,
        max_dense=MAX_DENSE,
        fidelity=fidelity,
        resume=file,
        on_progress=lambda text, done, total: print(f"{done / total:4.0%} {text}", flush=True),
    )


def write(root: Path, results: Sequence[Result], sweeps: Sequence[Result], fidelity: Sequence[Fidelity]) -> None:
    """The JSON, the picture and the tables of docs/benchmarks.md."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    content: dict[str, Any] = {
        "date": date.today().isoformat(),
        "command": "python -m tests.harness.publish",
        "hardware": {
            "processor": processor(),
            "bfloat16": torch.cpu._is_avx512_bf16_supported(),
            "cores": os.cpu_count(),
            "device": device,
        },
        "versions": versions(),
        "settings": {"per_task": PER_TASK, "max_dense": MAX_DENSE, "seed": 1, "model": EMBEDDED},
        "results": [vars(result) for result in results],
        "sweeps": [vars(result) for result in sweeps],
        "fidelity": [vars(part) for part in fidelity],
    }
    for folder in ("results", "pictures"):
        (root / "docs" / folder).mkdir(parents=True, exist_ok=True)
    file = root / "docs" / "results" / f"{content['date']}-eval-{device}.json"
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(results, root / "docs" / "pictures" / "accuracy.svg")
    page = root / PAGE
    text = replaced(page.read_text(encoding="utf-8"), "accuracy", accuracy_table(results))
    page.write_text(replaced(text, "sweeps", sweep_table(sweeps)), encoding="utf-8")


def accuracy_table(results: Sequence[Result]) -> str:
    """Markdown: a row per task and method, a column per length."""
    whole = {(r.task, r.method, r.length): r for r in results if r.depth is None}
    lengths = sorted({length for _, _, length in whole})
    lines = [f"| task | method | {' | '.join(_short(n) for n in lengths)} |", f"|---|---|{'---:|' * len(lengths)}"]
    methods = [method for method in (*METHODS, EXACT) if any(method == m for _, m, _ in whole)]
    for task, method in ((task, method) for task in dict.fromkeys(task for task, _, _ in whole) for method in methods):
        found = [whole.get((task, method, n)) for n in lengths]
        cells = [f"{round(r.accuracy * r.n)}/{r.n}" if r else "" for r in found]
        lines.append(f"| {task} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sweep_table(results: Sequence[Result]) -> str:
    """Markdown: a row per setting and value, with the right answers of all tasks."""
    lines = ["| setting | value | right |", "|---|---|---:|"]
    for name, value in ((name, value) for name, values in SWEEPS.items() for value in values):
        found = [r for r in results if r.method == f"tokenselect-{name}={value}" and r.depth is None]
        if found:
            lines.append(f"| {name} | {value} | {round(sum(r.accuracy * r.n for r in found))}/{sum(r.n for r in found)} |")
    return "\n".join(lines)


def replaced(text: str, name: str, table: str) -> str:
    """The text with the table between its marks; ValueError where it has none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE}: no place marked {begin} ... {end}")
    return f"{text[: text.index(begin) + len(begin)]}\n{table}\n{text[text.index(end) :]}"


def _short(length: int) -> str:
    if length % 1024:
        return f"{length:,}"
    return f"{length // 1048576}M" if length >= 1048576 else f"{length // 1024}K"


if __name__ == "__main__":
    main()
