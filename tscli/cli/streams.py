"""The standard streams and the arguments, as a shell may hand them over: closed, full, a question that looks like a flag."""

from __future__ import annotations

import io
import os
import re
import sys

STDOUT = "standard output"
QUESTION_COMMANDS = ("ask", "evidence")
LIBRARY_COMMANDS = ("info", "verify", "repair", "prune", "coverage", "rm", "export")  # NAME is their first argument
# A flag and its value as one argument (--html="my page.html", -l"my shelf"), of those that these commands have.
NUMBER = re.compile(r"-\d*\.?\d+")  # may be the value of a flag
FLAG = re.compile(r"--[a-z][a-z-]*(=|$)|-[a-zA-Z]$|-[lfoq]")


class _Output(io.FileIO):
    """Says of an error in writing that it is standard output's: nothing else tells it from a full disk of libraries."""

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            error.filename = STDOUT
            raise


def open_streams() -> None:
    """Fill in streams that were closed, so that no file of ours takes their place: what is written to such an output fails."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        nothing = os.open(os.devnull, os.O_RDONLY if name != "stderr" else os.O_WRONLY)
        if nothing != number:
            os.dup2(nothing, number)
            os.close(nothing)
        setattr(sys, name, io.TextIOWrapper(io.FileIO(number, "r" if name == "stdin" else "w", closefd=False)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        old = sys.stdout
        output = io.BufferedWriter(_Output(old.fileno(), "wb", closefd=False))
        lines = old.line_buffering or old.write_through  # PYTHONUNBUFFERED: it must not lag behind stderr
        sys.stdout = io.TextIOWrapper(output, old.encoding, old.errors, line_buffering=lines)


def drop_stdout() -> None:
    """Nothing more goes to standard output: what is left in its buffer would fail again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def with_dashed_question(arguments: list[str]) -> list[str]:
    """The arguments with a question that begins with a dash after `--`, where the parser takes it as it is."""
    if "--" in arguments or not any(argument in QUESTION_COMMANDS for argument in arguments[:3]):
        return arguments
    places = [at for at in range(1, len(arguments)) if _is_question(arguments[at], arguments[at - 1])]
    if len(places) != 1:
        return arguments
    at = places[0]
    return [*arguments[:at], *arguments[at + 1 :], "--", arguments[at]]


def with_library_first(arguments: list[str]) -> list[str]:
    """The arguments of a command whose first argument is a library, with the one that a flag names in that place."""
    if not arguments or arguments[0] not in LIBRARY_COMMANDS:
        return arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for at, argument in enumerate(arguments[:end]):
        flag, _, joined = argument.partition("=")
        if flag == "--library" and joined:
            return [arguments[0], joined, *arguments[1:at], *arguments[at + 1 :]]
        if argument in ("--library", "-l") and at + 1 < end:
            return [arguments[0], arguments[at + 1], *arguments[1:at], *arguments[at + 2 :]]
        if argument.startswith("-l") and len(argument) > 2:
            return [arguments[0], argument[2:], *arguments[1:at], *arguments[at + 1 :]]
    return arguments


def _is_question(argument: str, before: str) -> bool:
    if not argument.startswith("-") or (before.startswith("-") and NUMBER.fullmatch(argument)):
        return False
    words = " " in argument or argument[1:2].isdigit()
    return words and (not FLAG.match(argument) or (argument.endswith("?") and not argument.startswith("--")))
