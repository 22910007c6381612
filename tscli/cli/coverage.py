"""`tscli coverage`: the pages that no question so far has selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import tscli
from tscli.cli import flags
from tscli.cli.output import Settings, counted, say
from tscli.cli.tables import Table, check_format, write

if TYPE_CHECKING:
    from tscli import Answer, Coverage, Session

MOST_RANGES = 12


def coverage(
    context: typer.Context,
    library: flags.Name,
    output: Annotated[str, typer.Option("--output", "-o", help="Format: text or json.")] = "text",
    as_json: flags.Json = False,
) -> int:
    """Show which pages no question so far has selected."""
    settings: Settings = context.obj
    check_format(output, ("text", "json"))
    found = tscli.coverage(library)
    if found.unreadable:
        say(settings, f"{counted(found.unreadable, 'line')} of the history could not be read and were left out")
    if not as_json and output == "text" and not found.questions:
        say(settings, "no question is in the library's history yet: ask some, without --no-history")
    rows = [(d.file, f"{d.selected:,} of {counted(d.pages, 'page')}", _ranges(d.never)) for d in found.documents]
    write("json" if as_json else output, Table((), "<><", rows), (), _json(found))
    if as_json or output == "json":
        return 0
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
        say(settings, f"the question was not recorded for tscli coverage ({error.strerror or error}); --no-history avoids this")


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
