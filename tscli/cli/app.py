"""The Typer application, and the one place where errors are printed."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable
from functools import partial

import typer

import tscli
from tscli.cli import (
    archive,
    ask,
    bench,
    calibrate,
    chat,
    config,
    configuration,
    coverage,
    doctor,
    evaluate,
    evidence,
    flags,
    ingest,
    libraries,
    model,
    serve,
)
from tscli.cli.exit_codes import INTERRUPTED, exit_code_and_message
from tscli.cli.old_names import with_new_names
from tscli.cli.output import Settings, error_line, say
from tscli.cli.settings import Setting, with_flags
from tscli.cli.streams import QUESTION_COMMANDS, STDOUT, drop_stdout, open_streams, with_dashed_question, with_library_first

HELP_FLAGS = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="tscli",
    help="Answer questions about a collection of documents: run them through a model once, keep its KV cache, answer from it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP_FLAGS,
    epilog="--quiet and --debug may also be given after the command.",
)


def _add(
    name: str, command: Callable[..., int], short_help: str | None = None, *settings: Setting, hidden: bool = False
) -> None:
    app.command(name, short_help=short_help, hidden=hidden)(with_flags(command, *settings))


def _add_group(
    name: str, text: str, commands: dict[str, Callable[..., int]], command: Callable[..., int] | None = None
) -> None:
    """Commands below a name; command: what the name does by itself."""
    group = typer.Typer(rich_markup_mode=None, no_args_is_help=command is None, context_settings=HELP_FLAGS, help=text)
    if command is not None:
        group.callback(invoke_without_command=True)(with_flags(command))
    for below, function in commands.items():
        group.command(below)(with_flags(function))
    app.add_typer(group, name=name, short_help=text)


_add("ingest", ingest.ingest, "Run documents through the model, and keep its KV cache.")
_add("ask", ask.ask)
_add("calibrate", calibrate.calibrate, "Find a model's retrieval heads.")
_add("chat", chat.chat, "Ask follow-up questions in a conversation.")
_add("serve", serve.serve, "Serve libraries over an OpenAI-compatible API, and a web page.")
_add("evidence", evidence.evidence, "Show only the passages that an answer attends to.")
_add("coverage", coverage.coverage, "Show which pages no question so far has selected.")
_add_group(
    "bench",
    "Measure prefill and decode, dense and with TokenSelect.",
    {"attention": bench.attention},
    bench.bench,
)
_add_group(
    "eval",
    "Score answers: about a library, or to generated tasks.",
    {"questions": evaluate.questions, "tasks": evaluate.tasks},
)
_add("list", libraries.list_, "List the libraries: size, tokens, last use, model.")
_add("info", libraries.info)
_add("verify", libraries.verify)
_add("repair", libraries.repair, "Recompute the damaged parts of a library.")
_add("rm", libraries.rm)
_add("prune", libraries.prune)
_add("export", archive.export)
_add("import", archive.import_, "Make a library from an archive, after verifying it.")
app.add_typer(model.app, name="model", short_help="List, download, show and remove models.")
_add("config", config.config, "Show every setting and where its value comes from.", *flags.SETTINGS.values())
_add("path", doctor.path)
_add("where", doctor.where, hidden=True)
_add("doctor", doctor.doctor, "Show what this machine has and what a library would need.")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"tscli {tscli.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print only the result and errors."),
    debug: bool = typer.Option(False, "--debug", help="Print tracebacks with errors."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    context.obj = Settings(quiet, debug)
    if context.invoked_subcommand:
        context.default_map = configuration.defaults_of(context.command, configuration.set_once(partial(say, context.obj)))


# The base of what the parser raises; Typer brings its own copy of click in some versions.
_COMMAND_LINE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
NAMED_BY_FLAG = ("ask", "evidence", "chat", "serve", "eval")  # commands that take a library as -l only
_ANYWHERE = ("--quiet", "-q", "--debug")


def main() -> None:
    """Run the command line; the process exits with the code that says what happened."""
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code: 0 ok, 1 error, 2 usage, 3 partial, 4 library, 5 memory or disk, 130 interrupted."""
    flags, rest = _split_global(with_dashed_question(arguments))
    rest, notes = with_new_names(rest)
    for note in notes:
        say(Settings("--quiet" in flags or "-q" in flags, "--debug" in flags), note)
    try:
        code = int(app([*flags, *with_library_first(rest)], standalone_mode=False) or 0)
        sys.stdout.flush()
        if code == INTERRUPTED:  # newer Typers end like this instead of raising
            raise KeyboardInterrupt
        return code
    except _COMMAND_LINE_ERROR as error:
        error.show()  # type: ignore[attr-defined]
        if rest[:1] and rest[0] in QUESTION_COMMANDS and type(error).__name__ == "NoSuchOption":
            error_line(f'a question that begins with a dash must follow "--": tscli {rest[0]} -- "-5 degrees?"')
        if rest[:1] and rest[0] in NAMED_BY_FLAG and "unexpected extra argument" in str(error):
            error_line(f"this command takes its library as a flag: tscli {rest[0]} -l NAME")
        return int(error.exit_code)  # type: ignore[attr-defined]
    except BrokenPipeError:  # the reader of stdout has seen enough
        drop_stdout()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        code, message = exit_code_and_message(error)
        if "--debug" in flags and code != INTERRUPTED:
            traceback.print_exception(error)
        error_line(message)
        if isinstance(error, OSError) and error.filename == STDOUT:
            drop_stdout()
        return code


def _split_global(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The global flags may stand anywhere before `--`; the parser wants them before the command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [argument for argument in arguments[:end] if argument in _ANYWHERE]
    return flags, [argument for argument in arguments[:end] if argument not in _ANYWHERE] + arguments[end:]
