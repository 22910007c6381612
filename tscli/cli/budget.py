"""The plan of documents that have more tokens than the limit: the largest first, and which to leave out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tscli.cli.output import Settings, counted, error_line, print_json, safe_line, stderr

if TYPE_CHECKING:
    from tscli.errors import OverBudget

MOST_ROWS = 20
MOST_GLOBS = 10


def show_over_budget(settings: Settings, error: OverBudget, library: str, *, as_json: bool) -> None:
    """The plan as far as there is one; the error itself is the caller's."""
    if not settings.quiet:
        _show(error, library)
    for failure in error.failures:
        error_line(f"{safe_line(failure.path)}: {safe_line(failure.reason)}")
    if as_json:
        print_json(
            {
                "library": library,
                "documents": [{"file": path, "pages": pages, "tokens": tokens} for path, pages, tokens in error.documents],
                "tokens": {"total": error.total, "limit": error.limit, "over": error.total - error.limit},
                "leave_out": list(error.leave_out),
                "failures": files_json(error.failures),
                "passed_over": files_json(error.passed_over),
            }
        )


def files_json(files: Iterable[Any]) -> list[dict[str, str]]:
    """Files that were not read, each with its reason."""
    return [{"file": file.path, "reason": file.reason} for file in files]


def _show(error: OverBudget, library: str) -> None:
    from rich.table import Table

    console = stderr()
    table = Table(title=f"Plan for library {safe_line(library)}, the largest first", title_justify="left")
    for name, justify in (("document", "left"), ("pages", "right"), ("tokens", "right"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for path, pages, tokens in error.documents[:MOST_ROWS]:
        table.add_row(safe_line(path), f"{pages:,}", f"{tokens:,}", "leave out" if path in error.leave_out else "")
    if rest := error.documents[MOST_ROWS:]:
        table.add_row(f"and {len(rest):,} more", f"{sum(d[1] for d in rest):,}", f"{sum(d[2] for d in rest):,}", "")
    console.print(table)
    console.print(f"{error.total:,} tokens, {error.total - error.limit:,} over the limit of {error.limit:,}")
    if error.leave_out:
        saved = sum(tokens for path, _, tokens in error.documents if path in error.leave_out)
        console.print(
            f"without {counted(len(error.leave_out), 'document')} ({saved:,} tokens) it fits; leave them out with -g, or raise "
            f"the limit: --max-tokens {error.total}"
        )
        below = [path.partition("/")[2] for path in error.leave_out[:MOST_GLOBS] if "/" in path]  # of a folder that was named
        for path in below:
            console.print(f"  -g '!/{safe_line(path)}'", soft_wrap=True)
