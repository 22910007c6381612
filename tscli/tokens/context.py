"""Documents become one context: template prefix, then for each document a header line, its pages, breaks between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tscli.errors import OverBudget
from tscli.tokens.provenance import Context, DocumentTokens
from tscli.tokens.template import Template
from tscli.tokens.tokenizer import Encoded, Tokenizer

BREAK = "\n\n"


@dataclass(frozen=True)
class SourceText:
    """A document's text by pages; pages None where its tokens are taken over from an earlier context. labels, breaks: as of
    DocumentTokens."""

    path: str
    sha256: str
    pages: tuple[str, ...] | None
    paged: bool
    title: str
    labels: tuple[str, ...] = ()
    breaks: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True)
class _Tokens:
    """The tokens of one document: int32 [5, n], rows ids, page, char_start, char_end."""

    rows: np.ndarray
    num_pages: int


def build_context(
    tokenizer: Tokenizer,
    template: Template,
    sources: Sequence[SourceText],
    *,
    reuse: Context | None = None,
    max_tokens: int = 1 << 20,
) -> Context:
    """Tokenise the documents, each separately, so that one never disturbs the tokens of another.

    reuse: a context of the same tokenizer and template; its documents of equal content and title are taken over, and those
    without pages must be among them. Raises OverBudget when the whole has more than max_tokens.
    """
    known = {(d.sha256, d.title): d for d in reuse.documents} if reuse is not None else {}
    new = [source for source in sources if (source.sha256, source.title) not in known]
    if lost := next((source.path for source in new if source.pages is None), None):
        raise ValueError(f"{lost}: neither its text nor its tokens are there")
    made = iter(_encode(tokenizer, new))
    parts = []
    for source in sources:
        earlier = known.get((source.sha256, source.title))
        parts.append(_take_over(reuse, earlier) if reuse is not None and earlier is not None else next(made))
    total = len(template.prefix_ids) + sum(part.rows.shape[1] for part in parts)
    if total > max_tokens:
        sizes = ((s.path, part.num_pages, part.rows.shape[1]) for s, part in zip(sources, parts, strict=True))
        raise OverBudget(sizes, total, max_tokens)
    return _assemble(template, sources, parts)


def _assemble(template: Template, sources: Sequence[SourceText], parts: Sequence[_Tokens]) -> Context:
    prefix = np.zeros((4, len(template.prefix_ids)), dtype=np.int32)
    prefix[0] = template.prefix_ids
    owner = [np.full(prefix.shape[1], -1, dtype=np.int32)]
    documents, at = [], prefix.shape[1]
    for index, (source, part) in enumerate(zip(sources, parts, strict=True)):
        stop = at + part.rows.shape[1]
        pages = (part.num_pages, source.paged)
        documents.append(
            DocumentTokens(source.path, source.title, source.sha256, *pages, at, stop, source.labels, source.breaks)
        )
        owner.append(np.full(stop - at, index, dtype=np.int32))
        at = stop
    ids, page, char_start, char_end = np.concatenate([prefix, *(part.rows for part in parts)], axis=1)
    return Context(ids, np.concatenate(owner), page, char_start, char_end, tuple(documents))


def _encode(tokenizer: Tokenizer, sources: Sequence[SourceText]) -> list[_Tokens]:
    """The tokens of each, all of their texts encoded in one call."""
    texts = [[f"# {source.title}{BREAK}", BREAK, *(source.pages or ())] for source in sources]
    encoded = iter(tokenizer.encode_text([text for some in texts for text in some]))
    return [_joined(list(islice(encoded, len(some)))) for some in texts]


def _joined(encoded: Sequence[Encoded]) -> _Tokens:
    """A document's header, what stands between its pages, and the pages."""
    header, gap, *bodies = encoded
    pieces = [_rows(header, 0)]
    for number, body in enumerate(bodies, start=1):
        pieces += [_rows(body, number), _rows(gap, 0)] if body.ids.size else []
    return _Tokens(np.concatenate(pieces, axis=1), len(bodies))


def _rows(encoded: Encoded, page: int) -> np.ndarray:
    pages = np.full(encoded.ids.shape, page, dtype=np.int32)
    spans = (encoded.char_start, encoded.char_end) if page else (np.zeros_like(pages), np.zeros_like(pages))
    return np.stack([encoded.ids, pages, *spans]).astype(np.int32)


def _take_over(context: Context, document: DocumentTokens) -> _Tokens:
    span = slice(document.token_start, document.token_end)
    rows = np.stack([context.token_ids[span], context.page[span], context.char_start[span], context.char_end[span]])
    return _Tokens(rows, document.num_pages)
