"""Shell completion of the names of libraries and models."""

from __future__ import annotations

from tscli import internals


def model_names(incomplete: str) -> list[str]:
    """The short names of models that begin like this; files and folders are left to the shell."""
    return [name for name in internals.known_models() if name.startswith(incomplete)]


def library_names(incomplete: str) -> list[str]:
    """The libraries whose names begin like this; a folder is left to the shell."""
    return [name for name in internals.library_names() if name.startswith(incomplete)]
