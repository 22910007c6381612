"""The sketches of contexts that stand one behind the other: each is scanned by its own projection. Knows tensors only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tscli.selection.sketch import Sketch


@dataclass(frozen=True)
class Span:
    """`num_tokens` tokens of one context, from `first` on there; they stand behind those of the spans before.

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
        parts, at = [], 0
        for span in self._spans:
            low, high = max(0, start - at), min(stop - at, span.num_tokens)
            if low < high and span.sketch is not None:
                parts.append(span.sketch.outlying(layer, span.first + low, span.first + high) + (at + low - start))
            at += span.num_tokens
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64, device=self._first.planes.device)

    def scan(self, layer: int, query: Tensor, start: int, stop: int) -> Tensor:
        """Approximate scores of tokens [start, stop), each head's less its `shift`: [q_heads, stop - start], planes' dtype."""
        shift, parts, at = self.shift(layer, query), [], 0
        for span in self._spans:
            low, high = max(0, start - at), min(stop - at, span.num_tokens)
            at += span.num_tokens
            if low >= high:
                continue
            if span.sketch is None:
                found = span.scores(layer, query, high)[:, low:] - shift[:, None]
            else:
                found = span.sketch.scan(layer, query, span.first + low, span.first + high)
                if span.sketch is not self._first:
                    found += (span.sketch.shift(layer, query) - shift)[:, None].to(found.dtype)
            parts.append(found.to(self._first.planes.dtype))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
