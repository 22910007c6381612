"""The hash chain: a segment's id follows from what was computed before it, how, and its own tokens.

Resume, re-ingest, append, sharing and verification all rest on this: equal id, equal keys and values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PAGE_SIZE = 64
SEGMENT_PAGES = 256


@dataclass(frozen=True)
class PlannedSegment:
    """A segment of a wanted context; parent: id of the segment that it was computed behind, None for the first.

    start: its first token's position in the context. behind: tokens that were there when it was computed; independent
    documents have the shared prefix and themselves before them, whatever else the context holds.
    """

    id: str
    parent: str | None
    start: int
    num_tokens: int
    behind: int


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
    behind: int | None = None,
) -> list[PlannedSegment]:
    """The segments of a context (int32 [T]): full ones of `segment_tokens`, then what is left.

    parent, start and behind: the chain continues behind another one of so many tokens, such as a prefix that several
    documents share.
    """
    planned, before = [], start if behind is None else behind
    for first in range(0, token_ids.shape[0], segment_tokens):
        part = token_ids[first : first + segment_tokens]
        parent_of_this = parent
        parent = segment_id(fingerprint_digest, parent_of_this, part)
        planned.append(PlannedSegment(parent, parent_of_this, start + first, int(part.shape[0]), before + first))
    return planned


def plan_independent(
    fingerprint_digest: str,
    token_ids: np.ndarray,
    starts: Sequence[int],
    segment_tokens: int = PAGE_SIZE * SEGMENT_PAGES,
) -> list[PlannedSegment]:
    """The segments of a context (int32 [T]) whose documents, each from one of `starts` on, are run by themselves.

    What lies before the first document is a prefix that all of them share: it comes before each, and is computed once.
    """
    prefix = plan_chain(fingerprint_digest, token_ids[: starts[0]], segment_tokens)
    parent, planned = prefix[-1].id if prefix else None, list(prefix)
    for start, stop in zip(starts, [*starts[1:], token_ids.shape[0]], strict=True):
        part = token_ids[start:stop]
        planned += plan_chain(fingerprint_digest, part, segment_tokens, parent=parent, start=start, behind=starts[0])
    return planned
