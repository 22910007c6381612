"""One HTML page for one answer: no network, nothing to install, works by keyboard, in light and dark.

File names, documents, questions and answers are other people's text: everything passes the template's escaping, and the page's
own policy lets no script run but the one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import groupby

import numpy as np

from tscli.answer.session import Session
from tscli.answer.statistics import Answer, Statistics
from tscli.evidence.citations import Citation, weights_of
from tscli.evidence.gather import CAVEAT, Evidence, Piece
from tscli.evidence.remarks import remarks
from tscli.evidence.selected_by import selected_by
from tscli.evidence.support import WEAK
from tscli.tokens import Context, Tokenizer, shown, spell

LEVELS = 9  # of shading, besides none
AROUND = 24  # tokens shown on both sides of a passage
STRETCHES = 24  # cells of a document without pages, or with too many
MOST_PAGES, MOST_DOCUMENTS = 120, 200

_RAW = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_TURNING = re.compile(r"[\r\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Shade:
    """Text whose tokens got about the same attention; inside: whether it belongs to the passage itself."""

    text: str
    level: int
    inside: bool


@dataclass(frozen=True)
class Row:
    """A document of the heat map: cells (level, what it stands for)."""

    file: str
    share: float
    cells: list[tuple[int, str]]


def render_report(session: Session, answer: Answer, evidence: Evidence) -> str:
    """The page, as text."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    context = session.context
    places, weights = weights_of(answer.attribution, context)
    style, script = _file("report.css"), _file("report.js")
    rows = _rows(places, weights, context)
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_file("report.html.j2"))
    return template.render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
        question=_clean(answer.question),
        remarks=[_clean(f"{remark[0].upper()}{remark[1:]}.") for remark in remarks(answer, evidence)],
        pieces=[(_clean(piece.text), piece.support < WEAK, _drew_on(piece)) for piece in evidence.pieces],
        rows=rows[:MOST_DOCUMENTS],
        rows_left=len(rows) - len(rows[:MOST_DOCUMENTS]),
        passages=[
            (_clean(citation.place), citation.share, _shades(citation, places, weights, context, session.tokenizer))
            for citation in evidence.citations
        ],
        figures=[(name, _clean(text)) for name, text in _figures(answer.statistics, session)],
        caveat=CAVEAT,
    )


def _file(name: str) -> str:
    return resources.files("tscli.evidence").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _clean(text: str) -> str:
    """Without what no page may hold or what turns the direction of the text around it."""
    return _TURNING.sub("", _RAW.sub("\ufffd", text))


def _drew_on(piece: Piece) -> str:
    return " ".join(f"{index + 1}:{share:.0%}" for index, share in piece.drew_on)


def _levels(weights: np.ndarray, highest: float) -> np.ndarray:
    """0 for nothing, else 1 to LEVELS."""
    return np.ceil(weights / (highest or 1.0) * LEVELS).astype(int).clip(0, LEVELS)


def _rows(places: np.ndarray, weights: np.ndarray, context: Context) -> list[Row]:
    """Every document in the order of the library, those that were drawn on first where there are too many."""
    sums = []
    for index, document in enumerate(context.documents):
        own = context.document[places] == index
        if document.paged and document.num_pages <= MOST_PAGES:
            at = context.page[places[own]] - 1
            names = [f"p. {_clean(document.page_name(page))}" for page in range(1, document.num_pages + 1)]
        else:
            length = max(1, document.token_end - document.token_start)
            at = (places[own] - document.token_start) * STRETCHES // length
            names = [f"part {part} of {STRETCHES}" for part in range(1, STRETCHES + 1)]
        name = _clean(shown(document.path, context.library_of(index)))
        sums.append((name, np.bincount(at, weights=weights[own], minlength=len(names)), names))
    highest = max((float(cells.max(initial=0.0)) for _, cells, _ in sums), default=1.0)
    rows = [Row(file, float(cells.sum()), _cells(cells, _levels(cells, highest), names)) for file, cells, names in sums]
    return rows if len(rows) <= MOST_DOCUMENTS else sorted(rows, key=lambda row: -row.share)


def _cells(cells: np.ndarray, levels: np.ndarray, names: Sequence[str]) -> list[tuple[int, str]]:
    return [(int(level), f"{name}: {share:.0%}") for share, level, name in zip(cells, levels, names, strict=True)]


def _shades(citation: Citation, places: np.ndarray, weights: np.ndarray, context: Context, tokenizer: Tokenizer) -> list[Shade]:
    """A passage with some text around it, by the attention that each token got."""
    near = np.arange(max(0, citation.start - AROUND), min(context.page.shape[0], citation.end + AROUND))
    same = (context.page[near] == citation.page) & (context.document[near] == context.document[citation.start])
    tokens = _whole_words(near[same], citation, context, tokenizer)
    spelled = spell(tokens, context, tokenizer)
    got = np.zeros(tokens.shape[0])
    _, here, there = np.intersect1d(tokens, places, return_indices=True)
    got[here] = weights[there]
    levels = _levels(got, float(weights.max(initial=0.0)))
    marked = zip(
        spelled.bounds[:-1], spelled.bounds[1:], levels, (tokens >= citation.start) & (tokens < citation.end), strict=True
    )
    shades = []
    for (level, inside), run in groupby(marked, key=lambda token: (int(token[2]), bool(token[3]))):
        parts = list(run)
        shades.append(Shade(_clean(spelled.text[parts[0][0] : parts[-1][1]]), level, inside))
    while shades and not shades[0].text.strip():  # an empty line above a passage shows nothing
        del shades[0]
    return [replace(shades[0], text=shades[0].text.lstrip()), *(s for s in shades[1:] if s.text)] if shades else []


def _whole_words(tokens: np.ndarray, citation: Citation, context: Context, tokenizer: Tokenizer) -> np.ndarray:
    """Without the halves of words that the text around a passage would begin and end with."""
    spelled = spell(tokens, context, tokenizer)
    begins = [spelled.text[place : place + 1].isspace() for place in spelled.bounds[:-1]]
    before = np.flatnonzero(begins & (tokens <= citation.start))
    after = np.flatnonzero(begins & (tokens >= citation.end))
    first = int(before[0]) if before.size and context.char_start[tokens[0]] > 0 else 0
    return tokens[first : int(after[-1]) if after.size else None]


def _figures(s: Statistics, session: Session) -> list[tuple[str, str]]:
    return [
        ("library", f"{session.library}, {len(session.context.documents):,} documents"),
        ("model", session.model_name),
        ("documents", f"{s.cached_tokens:,} tokens cached, {s.recomputed_tokens:,} computed again"),
        ("this answer", f"{s.prompt_tokens:,} prompt tokens, {s.generated_tokens:,} generated ({s.stop_reason})"),
        ("selected by", selected_by(s)),
        ("attended", f"{s.attended_mean:,.0f} of {s.total_tokens:,} tokens a step, {s.selected_mean:,.0f} of them selected"),
        ("time", f"first token {s.ttft_s:.2f} s, then {s.decode_tps:,.1f} tokens/s"),
    ]
