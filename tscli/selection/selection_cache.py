"""The Selection Cache (paper, Algorithm 1): a query like the one that last reselected reuses its selection."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from tscli.selection.select import Selection


class SelectionCache:
    """Remembers, per layer, the query that last *reselected* and what it selected."""

    def __init__(self, theta: float) -> None:
        self.theta = theta
        self._last: dict[int, tuple[Tensor, Selection]] = {}

    def lookup(self, layer: int, query: Tensor) -> Selection | None:
        """The last selection of this layer if cos(query, last reselecting query) >= theta, else None.

        query: [q_heads, head_dim]; the cosine is over all heads flattened.
        """
        if layer not in self._last:
            return None
        last, selection = self._last[layer]
        similarity = functional.cosine_similarity(query.flatten().float(), last.flatten().float(), dim=0)
        return selection if float(similarity) >= self.theta else None

    def remember(self, layer: int, query: Tensor, selection: Selection) -> None:
        """Keep what this query selected; until the next reselection, later queries are compared with it."""
        self._last[layer] = (query.clone(), selection)
