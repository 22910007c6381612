"""The error of a library of which a file is not what was written, with the command that makes that library whole."""

from __future__ import annotations

from pathlib import Path

from tscli.errors import DamagedLibrary
from tscli.paths import library_name


def damaged(folder: Path, what: str) -> DamagedLibrary:
    """What is wrong, of the library in this folder."""
    return DamagedLibrary(what, f"to repair it: tscli repair {library_name(folder)}")
