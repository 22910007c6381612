"""The Typer application and the one place where errors become a line on stderr and an exit code."""

from __future__ import annotations

import os
import sys

import typer

import tscli
from tscli.cli import ask, bench, ingest, libraries
from tscli.cli.output import Settings, error_line

app = typer.Typer(
    name="tscli",
    help="Ask questions of a whole shelf of documents: read once, keep the KV cache, answer by sparse attention.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ingest")(ingest.ingest)
app.command("ask")(ask.ask)
app.command("bench")(bench.bench)
app.command("list")(libraries.list_)
app.command("info")(libraries.info)
app.command("verify")(libraries.verify)
app.command("rm")(libraries.rm)
app.command("prune")(libraries.prune)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"tscli {tscli.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Only the result and errors."),
    debug: bool = typer.Option(False, "--debug", help="Tracebacks with errors."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    context.obj = Settings(quiet, debug)


# The base of what the parser raises; Typer brings its own copy of click in some versions.
_COMMAND_LINE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


def main() -> None:
    """Run the command line; the process exits with the code that says what happened."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:  # noqa: PLR0911 - one way out per kind of end
    """Run one command; its exit code: 0 ok, 1 error, 2 usage, 3 partial, 4 library, 5 memory or disk, 130 interrupted."""
    debug = "--debug" in arguments
    # Global flags may stand anywhere.
    moved = [flag for flag in ("--quiet", "-q", "--debug") if flag in arguments]
    rest = [argument for argument in arguments if argument not in moved]
    try:
        result = app([*moved, *rest], standalone_mode=False)
        return int(result) if isinstance(result, int) else 0
    except tscli.errors.TscliError as error:
        if debug:
            raise
        error_line(str(error))
        return error.exit_code
    except _COMMAND_LINE_ERROR as error:
        error.show()  # type: ignore[attr-defined]
        return int(error.exit_code)  # type: ignore[attr-defined]
    except (typer.Abort, KeyboardInterrupt):
        error_line("interrupted; what is committed is kept, and the next run goes on from there")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        if debug:
            raise
        error_line("out of memory; choose fewer documents, a smaller model, or --dtype bfloat16")
        return 5
    except Exception as error:
        if debug:
            raise
        error_line(f"unexpected {type(error).__name__}: {error}; run again with --debug for the traceback")
        return 1
