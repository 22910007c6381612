"""`tscli bench`, `tscli bench attention`: tables in llama-bench's form on stdout, progress on stderr."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.output import Settings, fetch_model, safe_line, say, size
from tscli.cli.settings import only
from tscli.cli.tables import Table, check_format, write
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import BenchRow
    from tscli.internals import AttentionBench, AttentionRow

FORMATS = ("md", "json", "jsonl", "csv")
Length = Annotated[str, typer.Option(help="Context lengths, such as 256k or 8k,32k,1m.")]
Output = Annotated[str, typer.Option("-o", "--output", help="Format: md, json, jsonl or csv.")]


def bench(
    context: typer.Context,
    *,
    length: Length = "8k",
    n_gen: Annotated[int, typer.Option(help="Number of tokens to decode per repetition.")] = 128,
    repetitions: Annotated[int, typer.Option("-r", "--repetitions", help="Number of repetitions of the decode.")] = 5,
    output: Output = "md",
    dense: Annotated[bool, typer.Option("--dense/--no-dense", help="Also measure dense attention.")] = True,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="Also measure another program with the same model and text: transformers, llama.cpp, rag or rag-llama.cpp. "
            "May be repeated."
        ),
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="Text file to run, repeated up to the length. Default: a text that comes with tscli.")
    ] = None,
    full_prefill: Annotated[
        bool,
        typer.Option(
            "--full-prefill",
            help="Prefill every length in full, even where that is slow and a beginning would otherwise be repeated.",
        ),
    ] = False,
    how: Annotated[flags.Question, only("voters")],
    model: flags.Model,
    kv_dtype: flags.KVDtype = "auto",
    selection: flags.Selection,
) -> int:
    """Measure prefill and decode, with dense attention and with TokenSelect."""
    settings: Settings = context.obj
    if context.invoked_subcommand:
        _refuse_flags_before(context, context.invoked_subcommand)
        return 0
    check_format(output, FORMATS)
    lengths = [internals.parse_count(part) for part in length.split(",")]
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
        full_prefill,
    )
    write(output, _table(result.rows), result.to_json())
    if output == "md":
        versions = {name: number for row in result.rows for name, number in row.fields["versions"].items()}
        print(f"\nversions: {', '.join(f'{name} {number}' for name, number in versions.items())}")
    return 0


def attention(
    context: typer.Context,
    *,
    length: Length = "8k",
    repetitions: Annotated[int, typer.Option("-r", "--repetitions", help="Number of repetitions of each measurement.")] = 5,
    output: Output = "md",
    preset: Annotated[str, typer.Option(help="Model whose shapes to use: reader, qwen2.5-7b or llama-3.1-8b.")] = "reader",
    device: flags.Device,
) -> int:
    """Measure one layer: the fastest dense attention vs. each kind of selection."""
    settings: Settings = context.obj
    check_format(output, FORMATS)
    lengths = [internals.parse_count(part) for part in length.split(",")]
    found = internals.benchmark_attention(lengths, preset, repetitions, device, lambda text: say(settings, text))
    records = [{"preset": found.settings["preset"], **asdict(row)} for row in found.rows]
    write(output, _attention_table(found), records, {**found.to_json(), "versions": tscli.versions()})
    return 0


def _refuse_flags_before(context: typer.Context, command: str) -> None:
    """UsageError: they would do nothing."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"bench: --{name.replace('_', '-')} is before {command}; write the flags after it")


def _attention_table(bench: AttentionBench) -> Table:
    names = ("shapes", "backend", "test", "length", "method", "ms", "best dense / this", "bytes", "copy bandwidth")
    about = str(bench.settings["preset"]), str(bench.settings["device"])
    rows = [(*about, *_attention_row(row)) for row in bench.rows]
    return Table((*names, "vote mass", "candidates"), "<<<><>>>>>>", rows)


def _attention_row(row: AttentionRow) -> tuple[str, ...]:
    took = f"{row.ms:,.2f} ± {row.stddev_ms:.2f}", f"{row.ratio:.2f}x", size(row.bytes), f"{row.bandwidth_share:.0%}"
    held = ("", "") if row.vote_mass is None else (f"{row.vote_mass:.2%}", f"{row.widened}x")
    return (row.test, f"{row.length:,}", row.method, *took, *held)


def _table(rows: list[BenchRow]) -> Table:
    names = ("model", "size", "params", "backend", "threads", "method", "test")
    figures = ("t/s", "ratio", "ttft ms", "tpot ms", "peak rss", "prefilled")
    return Table((*names, *figures), "<<<<<<<>>>>>>", [_row(row) for row in rows])


def _prefilled(fields: dict[str, Any]) -> str:
    """How many of a context's tokens were run, and how many have the keys and values of those once more."""
    if "n_run" not in fields:
        return ""
    return f"{fields['n_run']:,} + {fields['n_repeated']:,} repeated" if fields["n_repeated"] else "all"


def _row(row: BenchRow) -> tuple[str, ...]:
    f = row.fields
    return (
        safe_line(f["model"]),
        size(f["size"]),
        f"{f['params'] / 1e6:.2f} M",
        f["backend"],
        str(f["threads"]),
        row.method,
        row.test,
        f"skipped: {row.skipped}" if row.skipped else f"{f['avg_ts']:,.2f} ± {f['stddev_ts']:.2f}",
        f"{row.ratio:.2f}x" if row.ratio is not None else "",
        f"{f['ttft_ms']:,.0f}" if f.get("ttft_ms") else "",
        f"{f['tpot_ms']:.2f}" if f.get("tpot_ms") else "",
        size(f["peak_rss"]) if "peak_rss" in f else "",
        _prefilled(f),
    )
