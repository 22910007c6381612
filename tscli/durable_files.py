"""How files of ours get onto a disk: for their owner only, whatever the umask says, and whole or not at all.

Whatever is replaced is replaced by `replacing`: written under a temporary name, synced, renamed, and its folder synced. What is
only appended to (a history, a journal) or written once into a folder that has no name yet is not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tscli.errors import ResourceError


def make_private(folder: Path) -> None:
    """Make a folder and what is missing above it, 0700 each; one that is there already stays as it is."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)  # says so where it is no folder


def open_private(path: Path, *, append: bool = False) -> IO[bytes]:
    """Open a file to write, 0600, whatever it was before; anew, or at its end. OSError through a link."""
    place = os.O_APPEND if append else os.O_TRUNC
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | place, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab" if append else "wb")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, 0600, that gets its name when this ends without an error: the name holds the whole content or what it
    held before.

    The folder must be there: one that was removed meanwhile does not come back. Raises ResourceError as `writing` does.
    """
    with writing(path.parent), _temporary(path) as temporary:
        with open_private(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


def link(source: Path, path: Path) -> None:
    """Give a file that is on disk a second name, in place of what that held; copy it where links fail."""
    with _temporary(path) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            with source.open("rb") as original, replacing(path) as copy:
                shutil.copyfileobj(original, copy)
        else:
            os.replace(temporary, path)
            sync_folder(path.parent)


def place_folder(made: Path, target: Path) -> None:
    """Rename a folder of files that is complete: what it holds is on disk before anybody finds it."""
    for path in made.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(made)
    os.replace(made, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say it as a ResourceError where the disk is full or may not be written to."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):
            raise KeyboardInterrupt from error
        if any(map(_is_out_of_space, _causes(error))):
            raise ResourceError(
                f"{folder}: no space left on the disk; what is committed is kept: make room and run the same command again"
            ) from error
        if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
            raise ResourceError(
                f"{folder}: cannot be written ({error}); write elsewhere, or choose another TSCLI_HOME or TSCLI_CACHE"
            ) from error
        raise


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside this one that nobody else has; nothing is left under it, after an interrupt either."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(3).hex()}.tmp")
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came up in: torch wraps what happens while it writes, an interrupt too, in its own."""
    while error is not None:
        yield error
        error = error.__context__


def _is_out_of_space(error: BaseException) -> bool:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    words = ("enforce fail", "unexpected pos", "file write")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
