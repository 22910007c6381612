"""Who selected what an answer attended to, in a phrase for people."""

from __future__ import annotations

from tscli.answer.statistics import Statistics


def selected_by(s: Statistics) -> str:
    """The retrieval heads, what share of the keys they scanned, and how many passages were found; else all heads, or none."""
    if s.dense:
        return "nobody: all of the documents was attended to"
    if s.reading is None:
        return "all heads of each layer, token by token"
    heads = ", ".join(f"{layer}.{head}" for layer, head in s.reading.heads)
    passages = f"{len(s.reading.passages)} passage{'' if len(s.reading.passages) == 1 else 's'}"
    scanned = f"which scanned {s.reading.keys_scanned:.1%} of the keys"
    return f"retrieval heads {heads} (layer.head), {scanned}, and by the question's words: {passages}"
