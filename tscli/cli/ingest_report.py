"""An ingest's plan and report: tables on stderr, or JSON. Runs nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tscli.cli.budget import files_json
from tscli.cli.output import counted, duration, kinds, per_token, safe_line, size, stderr

if TYPE_CHECKING:
    from tscli import IngestPlan, IngestReport

MOST_ROWS = 40
MOST_NOTES = 20


def show_plan(plan: IngestPlan) -> None:
    """What will be run and what it takes, on stderr."""
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
    console.print(f"per token: {per_token(plan.bytes_per_token)}")
    textless = sum(document.pages_without_text for document in plan.documents)
    if textless:
        console.print(f"{counted(textless, 'page')} without text: if they are scans, OCRmyPDF can add it")
    for note in plan.notes[:MOST_NOTES]:
        console.print(f"note: {safe_line(note)}")
    if len(plan.notes) > MOST_NOTES:
        console.print(f"note: and {len(plan.notes) - MOST_NOTES:,} more; --json has them all")
    sys.stderr.flush()


def show_report(report: IngestReport) -> None:
    """What was done and what it took, on stderr."""
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


def report_json(
    plan: IngestPlan,
    result: IngestPlan | IngestReport,
    prefilled: int,
    num_bytes: int,
    seconds: float,
    rss: int | None,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    """A plan and what became of it, as `--json` prints it; result: the plan itself where nothing was run."""
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
        "bytes_per_token": vars(plan.bytes_per_token),
        "seconds": seconds,
        "peak_rss_bytes": rss,
        "failures": files_json(plan.failures),
        "passed_over": files_json(plan.passed_over),
        "notes": list(plan.notes),
        "dry_run": dry_run,
    }
