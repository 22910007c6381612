"""`tscli ingest`: plan, then run with progress, then a summary."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.budget import files_json, show_over_budget
from tscli.cli.output import (
    Settings,
    animated,
    counted,
    duration,
    error_line,
    fetch_model,
    kinds,
    plain,
    print_json,
    safe_line,
    say,
    size,
    stderr,
)
from tscli.cli.settings import without
from tscli.errors import LibraryError, OverBudget, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscli import IngestOptions, IngestPlan, IngestReport, LoadOptions, Preparation, SelectionOptions

MOST_ROWS = 40
MOST_NOTES = 20


def ingest(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders to read.", metavar="PATH...")],
    *,
    library: flags.Library,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    as_json: flags.Json = False,
    max_tokens: flags.MaxTokens,
    system: flags.System,
    no_ignore: Annotated[bool, typer.Option("--no-ignore", help="Include files that .gitignore and .ignore exclude.")] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="Include hidden files.")] = False,
    glob: Annotated[
        list[str] | None, typer.Option("--glob", "-g", help='Only matching files; "!*.py" excludes; may be repeated.')
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of text files that do not declare one and are not UTF-8: cp1251.",
        ),
    ] = None,
    password: Annotated[list[str] | None, typer.Option(help="Password of encrypted PDFs; may be repeated.")] = None,
    ocr: Annotated[
        str,
        typer.Option(help='OCR of pages without text, by tesseract or OCRmyPDF: "auto", "off", or languages: "deu+eng".'),
    ] = "auto",
    model: flags.Model,
    kv_dtype: flags.KVDtype = "auto",
    selection: Annotated[flags.Selection, without("theta")],
    dense: Annotated[bool, typer.Option("--dense", help="Full attention in prefill; slow on long contexts.")] = False,
    documents: Annotated[
        str | None,
        typer.Option(
            help="joint: each document attends to those before it; independent: each is read by itself, so that a changed file "
            "costs only itself. Default: as the library was made, or the model's own default, or joint."
        ),
    ] = None,
    prefill: Annotated[
        str | None,
        typer.Option(
            help="How to read documents longer than the model's window. sections: each section by itself, densely; sparse: "
            "with a selection for each chunk (the paper). Default: the model's own, or sections."
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Worker processes for independent documents (CPU). Default: as many as a short measurement favours."),
    ] = None,
) -> int:
    """Run documents through the model once and keep its KV cache as a library."""
    settings: Settings = context.obj
    if documents not in (None, "joint", "independent"):
        raise UsageError(f"--documents {documents}: choose joint or independent")
    if prefill not in (None, "sections", "sparse"):
        raise UsageError(f"--prefill {prefill}: choose sections or sparse")
    options = tscli.IngestOptions(
        no_ignore=no_ignore,
        hidden=hidden,
        globs=tuple(glob or ()),
        passwords=tuple(password or ()),
        max_tokens=internals.parse_count(max_tokens),
        dense=dense,
        documents=documents,  # type: ignore[arg-type]
        kv_dtype=kv_dtype,  # type: ignore[arg-type]
        encoding=encoding,
        processes=processes,
        prefill=prefill,  # type: ignore[arg-type]
        system=_system(context, library, system),
        ocr=ocr,
    )
    load = model.options()
    if all(path.exists() for path in paths):  # no download for a mistyped path, which is an error below
        fetch_model(settings, internals.planned_model(load, library))
    try:
        preparation = _prepare(settings, paths, library, load, selection.options(), options)
    except OverBudget as error:
        show_over_budget(settings, error, library, as_json=as_json)
        raise
    plan = preparation.plan
    if not settings.quiet:
        _show_plan(plan)
    for failure in plan.failures:
        error_line(f"{safe_line(failure.path)}: {safe_line(failure.reason)}")
    if dry_run:
        if as_json:
            print_json(_json(plan, plan, prefilled=0, num_bytes=plan.total_bytes, seconds=0.0, rss=None, dry_run=True))
        return _exit_code(plan)
    try:
        report = _run(settings, preparation)
    except KeyboardInterrupt:
        error_line("segments written so far are kept; run the same command to go on")
        raise
    if not settings.quiet:
        _show_report(report)
    if as_json:
        rss = report.peak_rss_bytes
        print_json(_json(plan, report, report.prefilled_tokens, report.bytes, report.seconds, rss, dry_run=False))
    return _exit_code(plan)


def _system(context: typer.Context, library: str, system: str | None) -> str | None:
    """The instruction that is asked for: what is set once is for new libraries, those that there are keep their own."""
    source = context.get_parameter_source("system")
    if system is None or (source is not None and source.name == "COMMANDLINE"):
        return system
    try:
        tscli.info(library)
    except LibraryError:
        return system
    return None


def _prepare(
    settings: Settings,
    paths: list[Path],
    library: str,
    load: LoadOptions,
    selection: SelectionOptions,
    options: IngestOptions,
) -> Preparation:
    if settings.quiet or not animated():
        return tscli.prepare(paths, library, load, selection, options)
    with stderr().status("loading the model") as status:
        words = {"file": "reading", "tokenize": "tokenising", "model": "loading", "measure": "measuring"}

        def on_event(kind: str, detail: str, done: int, total: int) -> None:
            count = f" ({done:,} of {total:,})" if kind == "file" else ""
            status.update(plain(f"{words.get(kind, kind)} {detail}{count}"))

        return tscli.prepare(paths, library, load, selection, options, on_event)


def _run(settings: Settings, preparation: Preparation) -> IngestReport:
    plan = preparation.plan
    _calibrate(settings, preparation)
    if settings.quiet or not plan.prefill_tokens:
        return preparation.run()
    if not animated():
        return preparation.run(_plain_progress(settings))
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("prefill"),
        BarColumn(),
        TextColumn("{task.fields[done]} of {task.fields[todo]} tokens, {task.fields[cached]} cached, {task.fields[rate]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr()) as progress:
        todo, cached = f"{plan.prefill_tokens:,}", f"{plan.cached_tokens:,}"
        task = progress.add_task("prefill", total=plan.prefill_tokens, done="0", todo=todo, cached=cached, rate="")

        def on_progress(done: int, total: int, seconds: float) -> None:
            rate = f"{done / seconds:,.0f} tokens/s" if seconds else ""
            progress.update(task, completed=done, done=f"{done:,}", rate=rate)

        return preparation.run(on_progress)


def _calibrate(settings: Settings, preparation: Preparation) -> None:
    """Once per model and machine; with what is being done, where somebody watches."""
    if settings.quiet or not animated():
        preparation.calibrate()
        return
    with stderr().status("finding the model's retrieval heads") as status:
        preparation.calibrate(lambda what, done, total: status.update(plain(f"calibrating: {what}, {done:,} of {total:,}")))


def _plain_progress(settings: Settings) -> Callable[[int, int, float], None]:
    """Without a terminal: a line per tenth."""
    shown = [0]

    def on_progress(done: int, total: int, seconds: float) -> None:
        if done * 10 // total > shown[0]:
            shown[0] = done * 10 // total
            left = seconds / done * (total - done)
            say(settings, f"prefill {done:,} of {total:,} tokens, {done / seconds:,.0f} tokens/s, {duration(left)} left")

    return on_progress


def _show_plan(plan: IngestPlan) -> None:
    from rich.table import Table

    console = stderr()
    table = Table(title=f"Plan for library {safe_line(plan.library)}", title_justify="left")
    for name, justify in (("document", "left"), ("pages", "right"), ("tokens", "right"), ("status", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for document in plan.documents[:MOST_ROWS]:
        apart = ((document.pages_without_text, "without text"), (document.ocr_pages, "by OCR"))
        without = "".join(f" ({number:,} {what})" for number, what in apart if number)
        table.add_row(safe_line(document.path), f"{document.pages:,}{without}", f"{document.tokens:,}", document.status)
    if len(plan.documents) > MOST_ROWS:
        rest = plan.documents[MOST_ROWS:]
        table.add_row(f"and {len(rest):,} more", f"{sum(d.pages for d in rest):,}", f"{sum(d.tokens for d in rest):,}", "")
    console.print(table)
    estimate = f", about {duration(plan.estimated_seconds)}" if plan.estimated_seconds is not None else ""
    device = plan.device if plan.processes == 1 else f"{plan.device}, {plan.processes} processes"
    console.print(
        f"{plan.total_tokens:,} tokens: {plan.cached_tokens:,} cached, {plan.prefill_tokens:,} to run with {plan.model} "
        f"({kinds(plan.dtype, plan.kv_dtype, plan.weights)}, {device}){estimate}"
    )
    console.print(f"{size(plan.total_bytes)} on disk, {size(plan.new_bytes)} of it new; {size(plan.free_bytes)} free")
    textless = sum(document.pages_without_text for document in plan.documents)
    if textless:
        console.print(f"{counted(textless, 'page')} without text: where they are scans, OCRmyPDF adds it")
    for note in plan.notes[:MOST_NOTES]:
        console.print(f"note: {safe_line(note)}")
    if len(plan.notes) > MOST_NOTES:
        console.print(f"note: and {len(plan.notes) - MOST_NOTES:,} more; --json has them all")
    sys.stderr.flush()


def _show_report(report: IngestReport) -> None:
    from rich.table import Table

    table = Table(show_header=False, title=f"Library {safe_line(report.library)}", title_justify="left")
    rate = f", {report.prefilled_tokens / report.seconds:,.0f} tokens/s" if report.prefilled_tokens else ""
    table.add_row("documents", f"{len(report.documents):,}")
    if report.failures:
        table.add_row("not read", counted(len(report.failures), "file"))
    if report.passed_over:
        table.add_row("passed over", counted(len(report.passed_over), "file"))
    table.add_row("tokens", f"{report.total_tokens:,}: {report.cached_tokens:,} cached, {report.prefilled_tokens:,} run")
    table.add_row("on disk", size(report.bytes))
    table.add_row("time", f"{duration(report.seconds)}{rate}")
    table.add_row("peak memory", f"{size(report.peak_rss_bytes)} (mapped pages included)")
    stderr().print(table)


def _exit_code(plan: IngestPlan) -> int:
    """Files that were lost were named one by one; their number, and the exit code that says that there were some."""
    if not plan.failures:
        return 0
    count = len(plan.failures)
    error_line(f"{count:,} of {counted(count + len(plan.documents), 'file')} could not be read; the rest is unaffected")
    return tscli.errors.PartialIngest.exit_code


def _json(
    plan: IngestPlan,
    result: IngestPlan | IngestReport,
    prefilled: int,
    num_bytes: int,
    seconds: float,
    rss: int | None,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    return {
        "library": result.library,
        "documents": [
            {
                "file": d.path,
                "pages": d.pages,
                "tokens": d.tokens,
                "status": d.status,
                **{name: number for name in ("pages_without_text", "ocr_pages") if (number := getattr(d, name))},
            }
            for d in result.documents
        ],
        "tokens": {"total": result.total_tokens, "cached": result.cached_tokens, "prefilled": prefilled},
        "bytes": num_bytes,
        "seconds": seconds,
        "peak_rss_bytes": rss,
        "failures": files_json(plan.failures),
        "passed_over": files_json(plan.passed_over),
        "notes": list(plan.notes),
        "dry_run": dry_run,
    }
