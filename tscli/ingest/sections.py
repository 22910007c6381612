"""Where a document that is longer than the model's window is cut, so that each section is attended densely. Numbers only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tscli.tokens import Context

SECTION = (
    2048  # tokens of a section at most: where documents must be cut, longer ones answer no better, and take longer to read
)


def section_starts(context: Context, window: int) -> list[int]:
    """The first token of every document, and of every section of those that do not fit the window behind the prefix."""
    documents = context.documents
    room = window - (documents[0].token_start if documents else 0)
    starts: list[int] = []
    for document in documents:
        size = document.token_end - document.token_start
        parts = 1 if size <= room else math.ceil(size / (0.85 * min(room, SECTION)))  # a cut may move to a page above
        starts += [
            document.token_start + part for part in _cuts(context.page[document.token_start : document.token_end], parts)
        ]
    return starts


def _cuts(pages: np.ndarray, parts: int) -> Sequence[int]:
    """The starts of so many parts of about one size; at a page's beginning where one is near."""
    size = pages.shape[0] / parts
    begins = np.flatnonzero(np.diff(pages, prepend=pages[:1]) != 0)
    cuts = [0]
    for part in range(1, parts):
        wanted = round(part * size)
        near = begins[(begins > wanted - size / 8) & (begins <= wanted)]  # never later: the part before must fit
        cuts.append(int(near[-1]) if near.size else wanted)
    return cuts
