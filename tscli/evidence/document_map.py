"""Where in each document an answer looked: shares of its attention by stretches of the document, and the pages of the peaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tscli.answer.session import Session
from tscli.answer.statistics import Answer
from tscli.answer.token_attribution import TokenAttribution
from tscli.evidence.citations import weights_of
from tscli.tokens import Context, shown

BLOCKS = "▁▂▃▄▅▆▇█"
PEAKS = 3
WIDTH = 32  # cells of a map


@dataclass(frozen=True)
class DocumentMap:
    """A document's share of an answer's attention; cells: of equal stretches of its tokens, from the first to the last.

    peaks: the pages with the greatest shares, in the order of the document; empty where the file has no pages. library: where
    several are joined; else empty.
    """

    file: str
    share: float
    cells: tuple[float, ...]
    peaks: tuple[int, ...]
    library: str = ""
    peak_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file for people."""
        return shown(self.file, self.library)


def map_answer(session: Session, answer: Answer) -> list[DocumentMap]:
    """A map of each document that the answer drew on, greatest share first."""
    return map_documents(answer.attribution, session.context, width=WIDTH)


def map_documents(attribution: Sequence[TokenAttribution], context: Context, *, width: int) -> list[DocumentMap]:
    """The same from the steps themselves."""
    places, weights = weights_of(attribution, context)
    found = []
    for index in np.unique(context.document[places]):
        document = context.documents[int(index)]
        inside = context.document[places] == index
        own, shares = places[inside], weights[inside]
        at = (own - document.token_start) * width // max(1, document.token_end - document.token_start)
        cells = np.bincount(at, weights=shares, minlength=width)
        peaks = _peaks(context.page[own], shares) if document.paged else ()
        library = context.library_of(int(index))
        names = tuple(map(document.page_name, peaks))
        found.append(DocumentMap(document.path, float(shares.sum()), tuple(cells.tolist()), peaks, library, names))
    return sorted(found, key=lambda document: -document.share)


def blocks(cells: Sequence[float], highest: float) -> str:
    """A character per cell by its share of the highest; dots where nothing was attended."""
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[min(top, int(cell / highest * len(BLOCKS)))] if cell > 0 else "·" for cell in cells)


def _peaks(pages: np.ndarray, shares: np.ndarray) -> tuple[int, ...]:
    totals = np.bincount(pages, weights=shares)
    highest = np.argsort(-totals, kind="stable")[:PEAKS]
    return tuple(sorted(int(page) for page in highest if totals[page] >= 0.2 * totals.max()))
