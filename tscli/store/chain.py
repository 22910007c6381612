"""The hash chain: a segment's id follows from what was computed before it, how, and its own tokens.

Resume, re-ingest, append, sharing and verification all rest on this: equal id, equal keys and values.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

PAGE_SIZE = 64
SEGMENT_PAGES = 256


@dataclass(frozen=True)
class PlannedSegment:
    """A segment of a wanted context; parent: id of the segment before it, None for the first."""

    id: str
    parent: str | None
    start: int
    num_tokens: int


def segment_id(fingerprint_digest: str, parent: str | None, token_ids: np.ndarray) -> str:
    """32 hex digits of SHA-256 over model and settings, the segment before, and the token ids (int32 [n])."""
    digest = hashlib.sha256()
    digest.update(f"{fingerprint_digest}\n{parent or ''}\n".encode())
    digest.update(np.ascontiguousarray(token_ids, dtype="<i4").tobytes())
    return digest.hexdigest()[:32]


def plan_chain(
    fingerprint_digest: str,
    token_ids: np.ndarray,
    segment_tokens: int = PAGE_SIZE * SEGMENT_PAGES,
    *,
    parent: str | None = None,
    start: int = 0,
) -> list[PlannedSegment]:
    """The segments of a context (int32 [T]): full ones of `segment_tokens`, then what is left.

    parent and start: the chain continues behind another one, such as a prefix that several documents share.
    """
    planned = []
    for first in range(0, token_ids.shape[0], segment_tokens):
        part = token_ids[first : first + segment_tokens]
        parent_of_this = parent
        parent = segment_id(fingerprint_digest, parent_of_this, part)
        planned.append(PlannedSegment(parent, parent_of_this, start + first, int(part.shape[0])))
    return planned
