"""What one token takes in a library, and what a question reads of it. Plain numbers; reads no files."""

from __future__ import annotations

from dataclasses import dataclass

from tscli.model.known import row_bytes
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.store import Fingerprint


@dataclass(frozen=True)
class BytesPerToken:
    """Bytes of one token, over all layers.

    kv: its keys and values, with the scales of int8 ones. sketch: of the sketch of the keys, None where there is none.
    head_keys: of the keys that a library holds once more for its model's retrieval heads, None where it does not.
    scanned: the keys that one question's scan reads, those of the retrieval heads' kv heads; keys_scanned: their share of all
    keys. Both are None where all heads vote, or the model was not calibrated here yet.
    """

    kv: int
    sketch: int | None = None
    scanned: int | None = None
    keys_scanned: float | None = None
    head_keys: int | None = None


def bytes_per_token(
    made: Fingerprint,
    sketch: int | None,
    retrieval_heads: RetrievalHeads | None,
    q_heads: int | None,
    kept_heads: int | None = None,
) -> BytesPerToken:
    """Of a library with this fingerprint. q_heads: of a layer of its model, None where that is not known. kept_heads: how many
    kv heads' keys it holds once more, None for those of the retrieval heads."""
    row, pairs = row_bytes(made.head_dim, made.pages_dtype), made.num_layers * made.num_kv_heads
    if retrieval_heads is None or q_heads is None:
        return BytesPerToken(2 * pairs * row, sketch, head_keys=(kept_heads or 0) * row or None)
    scanned = len(retrieval_heads.kv_heads(max(1, q_heads // made.num_kv_heads)))
    kept = scanned if kept_heads is None else kept_heads
    return BytesPerToken(2 * pairs * row, sketch, scanned * row, scanned / pairs, kept * row or None)
