"""Where an answer's tokens come from: the attention of the retrieval heads, which copy from what they look at.

Watches the passes that make an answer and reports each as steps of its layers, as `Attention` does. Knows no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tscli.model.gathered import Rows, Seen
from tscli.model.step import AttentionTrace, LayerStep, Observer
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.selection.select import Selection


class Attribution:
    """Sums up the retrieval heads' attention of a pass's last token over the layers, of each sequence; told whose token it
    was, it reports the pass."""

    def __init__(self, retrieval_heads: RetrievalHeads, rows: Sequence[Rows], chosen: Tensor, observe: Observer) -> None:
        """rows: of each sequence. chosen: positions of passages, int64, ascending."""
        self._retrieval_heads = retrieval_heads
        self._observe = observe
        self._positions = torch.cat([one.positions for one in rows]).unique()  # ascending
        self._places = [torch.searchsorted(self._positions, one.positions) for one in rows]
        self._inside = torch.isin(self._positions, chosen)
        self._selected = int(chosen.shape[0])
        self._begin()

    def _begin(self) -> None:
        self._shares = self._positions.new_zeros((len(self._places), self._positions.shape[0]), dtype=torch.float32)
        self._attended: dict[int, int] = {}  # by layer

    def __call__(self, seen: Seen) -> None:
        """Take one layer's queries and keys of one sequence."""
        own = int(seen.key.shape[1]) - seen.rows
        self._attended[seen.layer] = int(self._positions.shape[0]) + own
        wanted = self._retrieval_heads.of_layer(seen.layer)
        if wanted:
            share = _attention(seen, [head for _, head in wanted])[: seen.rows]
            self._shares[seen.sequence].index_add_(0, self._places[seen.sequence], share)

    def report(self, said_by: Tensor) -> None:
        """Report the pass; said_by: each sequence's share of the token that it made, [sequences] float32."""
        shares = said_by.to(self._shares) @ self._shares / len(self._retrieval_heads.heads)
        trace = AttentionTrace(self._positions, shares)
        selection = Selection(self._positions[self._inside], shares[self._inside], int(self._positions.shape[0]))
        for layer, attended in self._attended.items():
            step = LayerStep(layer, "selected", attended, self._selected, None, True)
            if layer == self._retrieval_heads.last_layer:
                step = replace(step, selection=selection, trace=trace)
            self._observe(step)
        self._begin()


def _attention(seen: Seen, heads: list[int]) -> Tensor:
    """The last token's attention by these heads, summed: [s + t]."""
    group = seen.query.shape[0] // seen.key.shape[0]
    keys = seen.key[[head // group for head in heads]].float()  # [heads, s + t, head_dim]
    scores = torch.matmul(keys, seen.query[heads, -1].float()[..., None])[..., 0] * seen.scaling
    return torch.softmax(scores, dim=-1).sum(dim=0)
