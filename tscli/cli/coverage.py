"""`tscli coverage`: the pages that no question so far has selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import tscli
from tscli.cli import flags
from tscli.cli.output import Settings, counted, print_json, safe_line, say
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import Answer, Coverage, Session

MOST_RANGES = 12


def coverage(
    context: typer.Context,
    library: flags.Library,
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    as_json: flags.Json = False,
) -> int:
    """Show which pages were never selected over the questions asked so far."""
    settings: Settings = context.obj
    if output not in ("text", "json"):
        raise UsageError(f"-o {output}: choose text or json")
    found = tscli.coverage(library)
    if found.unreadable:
        say(settings, f"{counted(found.unreadable, 'line')} of the history could not be read and were left out")
    if as_json or output == "json":
        print_json(_json(found))
        return 0
    if not found.questions:
        say(settings, "no question is in the library's history yet: ask some, without --no-history")
    width = max((len(document.file) for document in found.documents), default=0)
    for document in found.documents:
        shown = f"{document.selected:,} of {counted(document.pages, 'page')}"
        print(safe_line(f"{document.file:<{width}}  {shown:>16}  {_ranges(document.never)}").rstrip())
    say(
        settings,
        f"{found.selected:,} of {counted(found.pages, 'page')} selected over {counted(found.questions, 'question')}; "
        "selection is not proof of causation",
    )
    return 0


def remember(settings: Settings, session: Session, answer: Answer) -> None:
    """Add an answer to its library's history; where that cannot be written, say so and go on."""
    try:
        session.remember(answer)
    except OSError as error:
        say(settings, f"the question was not kept for tscli coverage ({error.strerror or error}); --no-history avoids this")


def _ranges(never: tuple[tuple[int, int], ...]) -> str:
    if not never:
        return ""
    words = [str(first) if first == last else f"{first}-{last}" for first, last in never[:MOST_RANGES]]
    more = f" and {len(never) - MOST_RANGES} more ranges" if len(never) > MOST_RANGES else ""
    return f"never: {', '.join(words)}{more}"


def _json(found: Coverage) -> dict[str, object]:
    return {
        "library": found.library,
        "questions": found.questions,
        "pages": found.pages,
        "selected": found.selected,
        "documents": [
            {"file": d.file, "pages": d.pages, "selected": d.selected, "never": [list(run) for run in d.never]}
            for d in found.documents
        ],
    }
