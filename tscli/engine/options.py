"""What a user may choose for an ingest; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MAX_TOKENS = 1_048_576


@dataclass(frozen=True)
class IngestOptions:
    """no_ignore, hidden, globs: which files (as ripgrep); passwords: tried on encrypted PDFs after the empty one;
    max_tokens: an error beyond it, never a cut; dense: full attention in prefill instead of TokenSelect."""

    no_ignore: bool = False
    hidden: bool = False
    globs: tuple[str, ...] = ()
    passwords: tuple[str, ...] = ()
    max_tokens: int = DEFAULT_MAX_TOKENS
    dense: bool = False
