"""Reading lines: with arrow keys and a history on a terminal, plainly from a pipe.

The history is kept in a file of the tool's home that only its owner can read, or not at all.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tscli.cli.output import Settings, safe, say
from tscli.errors import TscliError

MOST_LINES = 1000


def interactive() -> bool:
    """Whether someone types."""
    return sys.stdin.isatty()


def read_line(prompt: str) -> str:
    """The next line, without its end; EOFError where there is none."""
    if interactive():
        if sys.stdout.isatty():
            return input(prompt)
        sys.stderr.write(prompt)  # stdout is for answers
        sys.stderr.flush()
        return input()
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError as error:
        raise TscliError(f"standard input is not UTF-8 text ({error.reason}); convert it first") from error
    if not line:
        raise EOFError
    return line.rstrip("\n")


@contextmanager
def line_history(settings: Settings, file: Path | None) -> Iterator[None]:
    """Arrow keys bring back earlier lines, on a terminal; those of earlier runs too, where there is a file to keep them in."""
    try:
        import readline
    except ImportError:  # on systems without it
        yield
        return
    file = file if file is not None and interactive() and _usable(settings, file) else None
    readline.set_auto_history(True)
    for line in _read(file):
        readline.add_history(line)
    try:
        yield
    finally:
        count = readline.get_current_history_length()
        lines = [readline.get_history_item(index) for index in range(max(1, count - MOST_LINES + 1), count + 1)]
        _write(settings, file, lines)


def _usable(settings: Settings, file: Path) -> bool:
    """Whether the file may be used: it is not there yet, or it is a plain file that only its owner, the user, can read."""
    if not file.parent.is_dir():
        return False
    try:
        found = file.lstat()
    except FileNotFoundError:
        return True
    own = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
    if not own:
        say(settings, f"{file}: others can read it, so what you type is not recorded; chmod 600 it, or remove it")
    return own


def _read(file: Path | None) -> list[str]:
    if file is None or not file.exists():
        return []
    return [safe(line) for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]


def _write(settings: Settings, file: Path | None, lines: list[str]) -> None:
    if file is None:
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="replace") as out:
            out.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        say(settings, f"{file}: what you typed was not recorded ({error.strerror})")
