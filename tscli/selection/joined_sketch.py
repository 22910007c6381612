"""The sketches of contexts that follow one another: each is scanned by its own projection. Knows tensors only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tscli.selection.sketch import Sketch
from tscli_kernels import reaching


@dataclass(frozen=True)
class Span:
    """`num_tokens` tokens of one context, from `first` on there; they follow those of the spans before.

    sketch: of that context; None where it has none. Then scores(layer, query, stop) gives the exact ones [q_heads, stop] of the
    span's first `stop` tokens.
    """

    num_tokens: int
    first: int
    sketch: Sketch | None
    scores: Callable[[int, Tensor, int], Tensor]


class JoinedSketch:
    """Scans like a `Sketch`, over all spans; at least one of them has one.

    Each projection takes its own keys' mean off, so that scores of different spans differ by constants per head. They are
    brought to what the first sketch has.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._first = next(span.sketch for span in spans if span.sketch is not None)
        self.length = sum(span.num_tokens for span in spans)

    def shift(self, layer: int, query: Tensor) -> Tensor:
        """What is to be added to all scores of a head: [q_heads] float32."""
        return self._first.shift(layer, query)

    def outlying(self, layer: int, start: int, stop: int) -> Tensor:
        """The outliers of tokens [start, stop), counted from start: int64, in no order, some twice."""
        parts = [
            span.sketch.outlying(layer, low, high) + at
            for span, low, high, at in self._parts(start, stop)
            if span.sketch is not None
        ]
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64, device=self._first.key_codes.device)

    def sampled(self, layer: int, query: Tensor, start: int, stop: int, step: int) -> tuple[Tensor, Tensor]:
        """Approximate scores of a step-th part of the tokens [start, stop), each head's less its `shift`: float32 [q_heads, m];
        and which of them are outliers, bool [m]."""
        scores, odd = [], []
        for span, low, high, _ in self._parts(start, stop):
            if span.sketch is None:
                found = span.scores(layer, query, high - span.first)[:, low - span.first :: step]
                outliers = torch.zeros(found.shape[1], dtype=torch.bool, device=found.device)
            else:
                found, outliers = span.sketch.sampled(layer, query, low, high, step)
            scores.append(found + self._aside(span, layer, query)[:, None])
            odd.append(outliers)
        return torch.cat(scores, dim=1), torch.cat(odd)

    def reaching(self, layer: int, query: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
        """Which tokens of [start, stop), counted from start, score at least the threshold [q_heads] in any head, by scores as
        `sampled` gives them: int64, ascending."""
        found = []
        for span, low, high, at in self._parts(start, stop):
            least = threshold - self._aside(span, layer, query)
            if span.sketch is None:
                found.append(reaching(span.scores(layer, query, high - span.first)[:, low - span.first :], least) + at)
            else:
                found.append(span.sketch.reaching(layer, query, low, high, least) + at)
        return torch.cat(found)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[Span, int, int, int]]:
        """The spans that tokens [start, stop) lie in: from where to where in the span's context, and where they begin."""
        at = 0
        for span in self._spans:
            low, high = max(0, start - at), min(stop - at, span.num_tokens)
            if low < high:
                yield span, span.first + low, span.first + high, at + low - start
            at += span.num_tokens

    def _aside(self, span: Span, layer: int, query: Tensor) -> Tensor:
        """What brings a span's scores to the scale of the first sketch's: [q_heads]."""
        shift = self.shift(layer, query)
        return -shift if span.sketch is None else span.sketch.shift(layer, query) - shift
