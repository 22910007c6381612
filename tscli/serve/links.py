"""Links from a reply's citations and map into documents: pages, and tokens of the one document, as the routes take them.

A citation's own tokens count through all libraries that are joined; a document by itself knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tscli.evidence import Citation, DocumentMap
from tscli.tokens import Context


def citation_link(citation: Citation, context: Context) -> dict[str, Any]:
    """paged: whether `page` is one of the file; first, last: the passage [first, last) in tokens of its document."""
    begins = context.documents[int(context.document[citation.start])].token_start
    return {"paged": citation.paged, "first": citation.start - begins, "last": citation.end - begins}


def map_link(row: DocumentMap, context: Context) -> dict[str, Any]:
    """page: where the answer looked most in a document; first: the token at which that stretch begins."""
    number = _number(row, context)
    document = context.documents[number]
    size = document.token_end - document.token_start
    highest = int(np.argmax(row.cells))
    first, behind = (size * cell // len(row.cells) for cell in (highest, highest + 1))
    pages = context.page[document.token_start + first : document.token_start + max(behind, first + 1)]
    page = int(np.median(pages[pages > 0])) if (pages > 0).any() else 1
    return {"page": _nearest(page, row.peaks), "first": first}


def _number(row: DocumentMap, context: Context) -> int:
    return next(
        number
        for number, document in enumerate(context.documents)
        if document.path == row.file and context.library_of(number) == row.library
    )


def _nearest(page: int, peaks: Sequence[int]) -> int:
    return min(peaks, key=lambda peak: abs(peak - page)) if peaks else page
