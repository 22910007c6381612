"""`tscli evidence`: only the passages that an answer attends to, for people and for other programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.answers import note_doubts, warn_of_instructions
from tscli.cli.coverage import remember
from tscli.cli.output import Settings, fetch_model, print_json, safe_line, say, working
from tscli.cli.startup import loading
from tscli.cli.tables import check_format
from tscli.page_cache import read_ahead

if TYPE_CHECKING:
    from tscli import Citation, Evidence, Session

FORMATS = ("text", "md", "json")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&-])")


def evidence(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    *,
    library: flags.Libraries,
    output: Annotated[str, typer.Option("--output", "-o", help="Format: text, md or json.")] = "text",
    top: flags.Top,
    max_new_tokens: flags.MaxNewTokens,
    no_history: flags.NoHistory = False,
    model: flags.LibraryModel,
) -> int:
    """Show the passages that the answer to a question attends to, without the answer."""
    settings: Settings = context.obj
    check_format(output, FORMATS)
    read_ahead(library)
    with loading():
        load = model.options()
        fetch_model(settings, load, library[0])
        with working(settings, flags.opening(library)) as on_step:
            session = tscli.open_library(library, load, lasting=False, on_step=on_step)
    with session:
        stream = session.ask(question, max_new_tokens=max_new_tokens)
        with working(settings, "reading the question"), loading():
            for _ in stream:
                pass
        found = tscli.find_evidence(session, stream.answer, top=top)
        if not no_history:
            remember(settings, session, stream.answer)
    warn_of_instructions(settings, found)
    note_doubts(settings, stream.answer, found)
    _print(session, found, output)
    if not found.citations:
        say(settings, "the answer attends to no passage of the documents")
    elif output != "json":
        say(settings, f"shares of the answer's attention to documents; {tscli.CAVEAT}")
    if output != "json":
        say(settings, f"selected by {internals.selected_by(stream.answer.statistics)}")
    return 0


def _print(session: Session, found: Evidence, output: str) -> None:
    if output == "json":
        print_json(internals.citations_json(session, found))
        return
    for number, citation in enumerate(found.citations, start=1):
        if output == "md":
            print(_markdown(number, citation))
        else:
            print(safe_line(citation.line(number, share=True)))


def _markdown(number: int, citation: Citation) -> str:
    """A quoted block under its place; what the document says is text there, not markup."""
    quote, place = (_MARKUP.sub(r"\\\1", safe_line(text)) for text in (citation.quote, citation.place))
    return f"{number}. **{place}** ({citation.share:.0%})\n\n   > {quote}\n"
