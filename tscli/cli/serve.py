"""`tscli serve`: libraries behind an OpenAI-compatible API and a page, until Ctrl-C."""

from __future__ import annotations

import secrets
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.completion import library_names
from tscli.cli.output import Settings, safe_line, say, working
from tscli.cli.settings import only
from tscli.cli.startup import loading
from tscli.errors import LibraryError, TscliError, UsageError

NEEDED = ("starlette", "uvicorn", "python_multipart")


def serve(
    context: typer.Context,
    *,
    libraries: Annotated[
        list[str] | None,
        typer.Option(
            "--library", "-l", autocompletion=library_names, help="A library to serve. May be repeated. Default: all libraries."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that other machines can reach needs a --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8080,
    token: Annotated[
        str | None,
        typer.Option(envvar="TSCLI_TOKEN", help="Secret that each request must send (Authorization: Bearer TOKEN)."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Accept no documents, and keep no record of questions.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, help="How many answers are generated at the same time.")] = 4,
    queue: Annotated[int, typer.Option(min=0, help="How many questions may wait; more are refused with status 429.")] = 32,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="Origin of a web site whose pages may ask, such as https://wiki.lan. May be repeated."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name by which clients reach this server. May be repeated."),
    ] = None,
    max_new_tokens: flags.MaxNewTokens,
    no_history: flags.NoHistory = False,
    model: Annotated[flags.LibraryModel, only("device", "weights")],
) -> int:
    """Serve libraries over an OpenAI-compatible API, and a web page. Each library is a model; NAME@paper asks it with the
    paper's selection."""
    settings: Settings = context.obj
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise TscliError(f'tscli serve needs {" and ".join(missing)}; install it with: pip install "tscli[serve]"')
    if token is not None and (not token.isascii() or not token.isprintable() or not token.strip()):
        raise UsageError("--token must consist of ASCII characters, because it is sent in an HTTP header; choose another")
    bound = internals.ServeSettings(
        host=host,
        port=port,
        token=token,
        parallel=parallel,
        queue=queue,
        cors=tuple(cors or ()),
        allow_host=tuple(allow_host or ()),
        max_new_tokens=max_new_tokens,
        remembers=not no_history,
    )
    made = token is None and not bound.is_loopback
    if made:
        bound = replace(bound, token=secrets.token_urlsafe(24))
    names = tuple(dict.fromkeys(libraries or ()))
    for name in names:
        tscli.info(name)  # said now, rather than to whoever asks
    if not names and not internals.library_names() and read_only:
        raise LibraryError("there is no library to serve; make one with: tscli ingest PATH")

    def started(addresses: list[str]) -> None:
        what = ", ".join(names) if names else f"all libraries ({len(internals.library_names()):,})"
        say(
            settings,
            safe_line(f"serving {what} at {' and '.join(addresses)}, the API at {addresses[0]}/v1; Ctrl-C stops the server"),
        )
        if not names and not internals.library_names():
            say(settings, "there is no library yet; drop files on the page, or make one with: tscli ingest PATH")
        if made:  # the one place where it can be read
            pages = [f"page: {address}/?token={bound.token}" for address in addresses]
            print("\n".join([f"token: {bound.token}", *pages]), flush=True)

    told = ""

    def stepped(text: str, *_: int) -> None:
        nonlocal told
        if text != told:
            say(settings, safe_line(f"preparing the model, once: {text}"))
        told = text

    with loading(), working(settings, "starting"):
        served = internals.ServedLibraries(names, model.options(), read_only=read_only, on_step=stepped)
    internals.run_server(served, bound, started)
    return 0
