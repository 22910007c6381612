"""The attention of an answer's tokens -> the sentences that got it, with file, page and tokens.

Only stretches of text around what was attended are spelled out, never a whole document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tscli.answer.token_attribution import TokenAttribution
from tscli.tokens import Context, Spelled, Tokenizer, page_name, shown, spell

SENTENCE_SEARCH_TOKENS = 96  # tokens on both sides within which a sentence is looked for
HEAVIEST = 512  # tokens that sentences are looked for around


@dataclass(frozen=True)
class Citation:
    """A passage that an answer attended to: tokens [start, end) of the library, or of all that are joined.

    share: of the answer's attention to documents. quote: the passage as the document has it, on one line ("light- house" where
    a line's end breaks the word); text: as the model read it ("lighthouse"), where that differs. paged: whether the file has
    pages of its own; otherwise page is 1. library: where several are joined; else empty. label: what viewers call the page
    ("ii"); empty where that is its number.
    """

    file: str
    page: int
    start: int
    end: int
    quote: str
    share: float
    paged: bool
    library: str = ""
    label: str = ""
    text: str = ""

    @property
    def as_read(self) -> str:
        """The passage as the model read it, on one line."""
        return self.text or self.quote

    @property
    def place(self) -> str:
        """File and page for people."""
        file = shown(self.file, self.library)
        return f"{file} p. {page_name(self.page, self.label)}" if self.paged else file

    def line(self, number: int, *, share: bool) -> str:
        """[1] handbook.pdf p. 7 (62%): "..." """
        return f'[{number}] {self.place}{f" ({self.share:.0%})" if share else ""}: "{self.quote}"'


def weights_of(attribution: Iterable[TokenAttribution], context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Positions, ascending, and their share of the attention to documents, summing to 1; template and headers left out."""
    steps = list(attribution)
    if not steps:
        return np.zeros(0, np.int64), np.zeros(0)
    places, inverse = np.unique(np.concatenate([step.positions for step in steps]), return_inverse=True)
    weights = np.bincount(inverse, weights=np.concatenate([step.shares for step in steps]), minlength=places.shape[0])
    inside = (context.page[places] > 0) & (context.document[places] >= 0) & (weights > 0)
    places, weights = places[inside], weights[inside]
    return places, weights / (weights.sum() or 1.0)


def cite(
    attribution: Sequence[TokenAttribution],
    context: Context,
    tokenizer: Tokenizer,
    *,
    top: int,
    floor: float,
    telling: Sequence[TokenAttribution] = (),
) -> list[Citation]:
    """At most `top` sentences, none below the share `floor` of the attention but the first: the one that the `telling` steps
    drew on most, where there are some. The others follow by their share, highest first."""
    places, weights = weights_of(attribution, context)
    if not places.size:
        return []
    found: list[Citation] = []
    for stretch in _stretches(places, weights, context):
        spelled = spell(stretch, context, tokenizer)
        inside = (places >= stretch[0]) & (places <= stretch[-1])
        found += _sentences(spelled, places[inside], weights[inside], context)
    found.sort(key=lambda citation: (-citation.share, citation.start))
    at, shares = weights_of(telling, context)
    drew = [float(shares[(at >= citation.start) & (at < citation.end)].sum()) for citation in found]
    found.insert(0, found.pop(int(np.argmax(drew))))
    return [citation for number, citation in enumerate(found[:top]) if number == 0 or citation.share >= floor]


def _stretches(places: np.ndarray, weights: np.ndarray, context: Context) -> list[np.ndarray]:
    """Runs of tokens within reach of the heaviest ones, none across a page's end."""
    heaviest = places[np.argsort(-weights, kind="stable")[:HEAVIEST]]
    near = (heaviest[:, None] + np.arange(-SENTENCE_SEARCH_TOKENS, SENTENCE_SEARCH_TOKENS + 1)).ravel()
    near = np.unique(near[(near >= 0) & (near < context.page.shape[0])])
    near = near[context.page[near] > 0]
    apart = (np.diff(near) > 1) | (np.diff(context.page[near]) != 0) | (np.diff(context.document[near]) != 0)
    runs = np.split(near, np.flatnonzero(apart) + 1)
    return [run for run in runs if np.isin(run, heaviest).any()]


def _sentences(spelled: Spelled, places: np.ndarray, weights: np.ndarray, context: Context) -> list[Citation]:
    spans, owner = spelled.sentences()
    totals = np.bincount(owner[places - spelled.start], weights=weights, minlength=len(spans))
    number, page = int(context.document[spelled.start]), int(context.page[spelled.start])
    document, library = context.documents[number], context.library_of(number)
    found = []
    for index in np.flatnonzero(totals):
        own = np.flatnonzero(owner == index) + spelled.start
        read = " ".join(spelled.text[slice(*spans[index])].split())
        quote = _as_written(spelled, spans[index], context)
        of = (float(totals[index]), document.paged, library, document.label(page), read if read != quote else "")
        found.append(Citation(document.path, page, int(own[0]), int(own[-1]) + 1, quote, *of))
    return found


def _as_written(spelled: Spelled, span: tuple[int, int], context: Context) -> str:
    """The text [start, end) of what is spelled, on one line, with the line ends that the document has within words."""
    start, end = span
    page, document = int(context.page[spelled.start]), context.documents[int(context.document[spelled.start])]
    tokens = slice(spelled.start, spelled.start + len(spelled.bounds) - 1)
    begins, ends = context.char_start[tokens], context.char_end[tokens]
    parts, at = [], start
    for number, char, taken in document.breaks:
        if number != page or not begins[0] < char < ends[-1]:
            continue
        token = int(np.searchsorted(ends, char, side="right"))
        place = int(min(spelled.bounds[token] + char - begins[token], spelled.bounds[token + 1]))
        if start < place < end:
            parts += [spelled.text[at:place], taken]
            at = place
    return " ".join("".join([*parts, spelled.text[at:end]]).split())
