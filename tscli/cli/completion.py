"""What the shell offers where the name of a library is wanted."""

from __future__ import annotations

import tscli


def library_names(incomplete: str) -> list[str]:
    """The libraries whose names begin like this; a folder is left to the shell."""
    return [name for name in tscli.library_names() if name.startswith(incomplete)]
