"""`tscli bench`: tables in llama-bench's form on stdout, progress on stderr."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli.cli import flags
from tscli.cli.output import Settings, as_json, fetch_model, print_json, safe_line, say, size
from tscli.cli.settings import only
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import AttentionBench, BenchResult, BenchRow

FORMATS = ("md", "json", "jsonl", "csv")


def bench(
    context: typer.Context,
    *,
    length: Annotated[str, typer.Option(help="Context lengths: 256k, or a list such as 8k,32k,1m.")] = "8k",
    n_gen: Annotated[int, typer.Option(help="Tokens decoded per repetition.")] = 128,
    repetitions: Annotated[int, typer.Option("-r", "--repetitions", help="Repetitions of the decode.")] = 5,
    output: Annotated[str, typer.Option("-o", "--output", help="md, json, jsonl or csv.")] = "md",
    attention: Annotated[
        bool, typer.Option("--attention", help="One layer's attention: the best dense way against each way of selecting.")
    ] = False,
    preset: Annotated[str, typer.Option(help="With --attention, whose shapes: reader, qwen2.5-7b or llama-3.1-8b.")] = "reader",
    dense: Annotated[bool, typer.Option("--dense/--no-dense", help="Measure full attention beside TokenSelect.")] = True,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="Also measure this with the same model and text: transformers, llama.cpp, rag; can be repeated."),
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="A text file to read, repeated up to the length. Default: prose that comes along.")
    ] = None,
    how: Annotated[flags.Question, only("voters")],
    model: flags.Model,
    kv_dtype: flags.KVDtype = "auto",
    selection: flags.Selection,
) -> int:
    """Measure prefill and decode, dense and TokenSelect."""
    settings: Settings = context.obj
    if output not in FORMATS:
        raise UsageError(f"--output {output}: choose {', '.join(FORMATS)}")
    lengths = [tscli.parse_count(part) for part in length.split(",")]
    if attention:
        found = tscli.benchmark_attention(
            lengths, preset, repetitions, model.device, on_progress=lambda text: say(settings, text)
        )
        _print_attention(found, output)
        return 0
    load = model.options()
    fetch_model(settings, load)
    result = tscli.benchmark(
        lengths,
        load,
        selection.options(),
        n_gen,
        repetitions,
        dense,
        lambda text: say(settings, text),
        peer or (),
        kv_dtype,  # type: ignore[arg-type]
        text,
        how.voters,
    )
    _print(result, output)
    return 0


def _print_attention(bench: AttentionBench, output: str) -> None:
    if output == "json":
        print_json({**bench.to_json(), "versions": tscli.versions()})
    elif output in ("jsonl", "csv"):
        _print_rows([{"preset": bench.settings["preset"], **asdict(row)} for row in bench.rows], output)
    else:
        preset, device = bench.settings["preset"], bench.settings["device"]
        names = ("shapes", "backend", "test", "length", "method", "ms", "best dense / this", "bytes", "copy bandwidth")
        print(f"| {' | '.join((*names, 'vote mass', 'candidates'))} |")
        print("| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for r in bench.rows:
            mass = " | " if r.vote_mass is None else f"{r.vote_mass:.2%} | {r.widened}x"
            shares = f"{r.ms:,.2f} ± {r.stddev_ms:.2f} | {r.ratio:.2f}x | {size(r.bytes)} | {r.bandwidth_share:.0%} | {mass}"
            print(f"| {preset} | {device} | {r.test} | {r.length:,} | {r.method} | {shares} |")


def _print_rows(rows: list[dict[str, Any]], output: str) -> None:
    """As jsonl or csv."""
    if output == "jsonl":
        for row in rows:
            print(as_json(row))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _print(result: BenchResult, output: str) -> None:
    if output == "json":
        print_json(result.to_json())
    elif output in ("jsonl", "csv"):
        _print_rows(result.to_json(), output)
    else:
        _print_markdown(result.rows)


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def _print_markdown(rows: list[BenchRow]) -> None:
    names = ("model", "size", "params", "backend", "threads", "method", "test")
    figures = ("t/s", "ratio", "ttft ms", "tpot ms", "peak rss")
    print(f"| {' | '.join((*names, *figures))} |")
    print(f"| {' | '.join('---' for _ in names)} | {' | '.join('---:' for _ in figures)} |")
    for row in rows:
        f = row.fields
        rate = f"skipped: {row.skipped}" if row.skipped else f"{f['avg_ts']:,.2f} ± {f['stddev_ts']:.2f}"
        ratio = f"{row.ratio:.2f}x" if row.ratio is not None else ""
        ttft = f"{f['ttft_ms']:,.0f}" if f.get("ttft_ms") else ""
        tpot = f"{f['tpot_ms']:.2f}" if f.get("tpot_ms") else ""
        rss = size(f["peak_rss"]) if "peak_rss" in f else ""
        cells = (
            f["model"],
            size(f["size"]),
            f"{f['params'] / 1e6:.2f} M",
            f["backend"],
            str(f["threads"]),
            row.method,
            row.test,
            rate,
            ratio,
            ttft,
            tpot,
            rss,
        )
        print(f"| {' | '.join(safe_line(cell).replace('|', '/') for cell in cells)} |")
    versions = {name: number for row in rows for name, number in row.fields["versions"].items()}
    print(f"\nversions: {', '.join(f'{name} {number}' for name, number in versions.items())}")
