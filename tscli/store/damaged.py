"""The error for a damaged library, with the command that repairs it."""

from __future__ import annotations

from pathlib import Path

from tscli.errors import DamagedLibrary
from tscli.paths import library_name


def damaged(folder: Path, what: str) -> DamagedLibrary:
    """What is wrong, of the library in this folder."""
    return DamagedLibrary(what, f"to repair it: tscli repair {library_name(folder)}")
