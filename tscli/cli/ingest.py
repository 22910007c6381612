"""`tscli ingest`: plan, then run with progress, then a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.budget import show_over_budget
from tscli.cli.ingest_report import report_json, show_plan, show_report
from tscli.cli.output import (
    Settings,
    animated,
    counted,
    duration,
    error_line,
    fetch_model,
    plain,
    print_json,
    progress,
    safe_line,
    say,
    stderr,
)
from tscli.cli.settings import without
from tscli.errors import LibraryError, OverBudget, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscli import IngestOptions, IngestPlan, IngestReport, LoadOptions, Preparation, SelectionOptions


def ingest(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders to ingest.", metavar="PATH...")],
    *,
    library: flags.Library,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and stop before the model runs.")] = False,
    as_json: flags.Json = False,
    max_tokens: flags.MaxTokens,
    system: flags.System,
    no_ignore: Annotated[bool, typer.Option("--no-ignore", help="Include files that .gitignore and .ignore exclude.")] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="Include hidden files.")] = False,
    glob: Annotated[
        list[str] | None,
        typer.Option("--glob", "-g", help='Ingest only files that match, such as "*.md"; "!*.py" excludes. May be repeated.'),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of text files that are not UTF-8 and do not declare one, such as cp1251.",
        ),
    ] = None,
    password: Annotated[list[str] | None, typer.Option(help="Password to try on encrypted PDFs. May be repeated.")] = None,
    ocr: Annotated[
        str,
        typer.Option(
            help='OCR, by tesseract or OCRmyPDF, of pages without text: "auto", "off", or languages such as "deu+eng".'
        ),
    ] = "auto",
    model: flags.Model,
    kv_dtype: flags.KVDtype = "auto",
    selection: Annotated[flags.Selection, without("theta")],
    dense: Annotated[
        bool, typer.Option("--dense", help="Attend to all earlier tokens in prefill; slow on long contexts.")
    ] = False,
    documents: Annotated[
        str | None,
        typer.Option(
            help="Whether documents attend to each other. joint: each attends to those before it; independent: each is "
            "prefilled independently, so that a changed file costs only its own prefill. Default: the library's own, else the "
            "model's, else independent."
        ),
    ] = None,
    prefill: Annotated[
        str | None,
        typer.Option(
            help="How to prefill documents longer than the model's window. sections: independently and densely, in sections "
            "that fit it; sparse: in chunks that select what they attend to, as in the paper. Default: the model's own, or "
            "sections."
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            help="Number of worker processes for independent documents (CPU only). Default: the fastest in a short measurement."
        ),
    ] = None,
) -> int:
    """Run documents through the model once, and keep its KV cache on disk as a library."""
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
        show_plan(plan)
    for failure in plan.failures:
        error_line(f"{safe_line(failure.path)}: {safe_line(failure.reason)}")
    if dry_run:
        if as_json:
            print_json(report_json(plan, plan, prefilled=0, num_bytes=plan.total_bytes, seconds=0.0, rss=None, dry_run=True))
        return _exit_code(plan)
    try:
        report = _run(settings, preparation)
    except KeyboardInterrupt:
        error_line("segments written so far are kept; run the same command to go on")
        raise
    if not settings.quiet:
        show_report(report)
    if as_json:
        rss = report.peak_rss_bytes
        print_json(report_json(plan, report, report.prefilled_tokens, report.bytes, report.seconds, rss, dry_run=False))
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
        with progress(settings) as line:

            def on_packed(kind: str, detail: str, done: int, total: int) -> None:
                if kind == "pack":  # the one thing that takes long
                    line(detail, done, total)

            return tscli.prepare(paths, library, load, selection, options, on_packed)
    with stderr().status("loading the model") as status:
        words = {"file": "reading", "tokenize": "tokenising", "model": "loading", "measure": "measuring"}

        def on_event(kind: str, detail: str, done: int, total: int) -> None:
            count = f" ({done:,} of {total:,})" if kind == "file" else ""
            shown = f"{detail}, {done / max(1, total):.0%}" if kind == "pack" else f"{words.get(kind, kind)} {detail}{count}"
            status.update(plain(shown))

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
    with Progress(*columns, console=stderr()) as bar:
        todo, cached = f"{plan.prefill_tokens:,}", f"{plan.cached_tokens:,}"
        task = bar.add_task("prefill", total=plan.prefill_tokens, done="0", todo=todo, cached=cached, rate="")

        def on_progress(done: int, total: int, seconds: float) -> None:
            rate = f"{done / seconds:,.0f} tokens/s" if seconds else ""
            bar.update(task, completed=done, done=f"{done:,}", rate=rate)

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


def _exit_code(plan: IngestPlan) -> int:
    """Files that were lost were named one by one; their number, and the exit code that says that there were some."""
    if not plan.failures:
        return 0
    count = len(plan.failures)
    error_line(f"{count:,} of {counted(count + len(plan.documents), 'file')} could not be read; the rest is unaffected")
    return tscli.errors.PartialIngest.exit_code
