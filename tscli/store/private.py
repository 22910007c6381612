"""Folders and files for their owner only, whatever the umask says: what is read out of documents is nobody else's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


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
