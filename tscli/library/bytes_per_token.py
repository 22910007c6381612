"""What one token takes in a library, and what a question reads of it. Plain numbers; reads no files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tscli.model.known import row_bytes
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.store import Fingerprint, KVHead


@dataclass(frozen=True)
class BytesPerToken:
    """Bytes of one token, over all layers.

    kv: its keys and values, with the scales of int8 ones. sketch: of the sketch of the keys, None where there is none.
    head_keys: of the int8 keys that a library holds once more for its model's retrieval heads, None where it does not.
    scanned: the keys that one question's scan reads, those of the retrieval heads' kv heads; keys_scanned: their share of all
    keys. Both are None where all heads vote, or the model was not calibrated here yet. of_other_heads: the library holds keys
    once more, but not those of all heads that vote now, so that these read the pages.
    """

    kv: int
    sketch: int | None = None
    scanned: int | None = None
    keys_scanned: float | None = None
    head_keys: int | None = None
    of_other_heads: bool = False


def bytes_per_token(
    made: Fingerprint,
    sketch: int | None,
    retrieval_heads: RetrievalHeads | None,
    q_heads: int | None,
    kept_heads: Collection[KVHead] | None = None,
) -> BytesPerToken:
    """Of a library with this fingerprint. q_heads: of a layer of its model, None where that is not known. kept_heads: whose
    keys it holds once more, None for those of the retrieval heads."""
    row, kept_row = row_bytes(made.head_dim, made.pages_dtype), row_bytes(made.head_dim, "int8")
    pairs = made.num_layers * made.num_kv_heads
    if retrieval_heads is None or q_heads is None:
        return BytesPerToken(2 * pairs * row, sketch, head_keys=len(kept_heads or ()) * kept_row or None)
    voting = retrieval_heads.kv_heads(max(1, q_heads // made.num_kv_heads))
    kept = voting if kept_heads is None else set(kept_heads)
    scanned = sum(kept_row if head in kept else row for head in voting)
    others = bool(kept) and not voting <= kept
    return BytesPerToken(2 * pairs * row, sketch, scanned, len(voting) / pairs, len(kept) * kept_row or None, others)
