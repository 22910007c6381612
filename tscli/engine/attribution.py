"""Where an answer's tokens come from: the attention of the voters, retrieval heads that copy from what they look at.

Watches the passes that make an answer and reports each as steps of its layers, as `AttentionRun` does. Knows no text.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tscli.model.gathered import Rows, Seen
from tscli.model.step import LayerStep, Observer, Weighed
from tscli.selection.select import Selection
from tscli.selection.voters import Voters


class Attribution:
    """Sums up the voters' attention of a pass's last token over the layers; the last voter's layer reports it."""

    def __init__(self, voters: Voters, rows: Rows, chosen: Tensor, observe: Observer) -> None:
        self._voters = voters
        self._rows = rows
        self._chosen = chosen  # positions of passages, int64, ascending
        self._observe = observe
        self._shares: Tensor | None = None

    def __call__(self, seen: Seen) -> None:
        """Take one layer's queries and keys."""
        wanted = self._voters.of_layer(seen.layer)
        if wanted:
            share = _attention(seen, [head for _, head in wanted])
            self._shares = share if self._shares is None else self._shares + share
        step = LayerStep(seen.layer, "selected", int(seen.key.shape[1]), int(self._chosen.shape[0]), None, True)
        if seen.layer != self._voters.last_layer or self._shares is None:
            self._observe(step)
            return
        shares, self._shares = self._shares / len(self._voters.heads), None
        positions, order = self._rows.positions.sort()
        weighed = Weighed(positions, shares[: seen.rows][order])
        inside = torch.isin(positions, self._chosen)
        selection = Selection(positions[inside], weighed.shares[inside], int(self._rows.positions.shape[0]))
        self._observe(LayerStep(step.layer, step.kind, step.attended, step.selected, selection, True, weighed))


def _attention(seen: Seen, heads: list[int]) -> Tensor:
    """The last token's attention by these heads, summed: [s + t]."""
    group = seen.query.shape[0] // seen.key.shape[0]
    keys = seen.key[[head // group for head in heads]].float()  # [heads, s + t, head_dim]
    scores = torch.matmul(keys, seen.query[heads, -1].float()[..., None])[..., 0] * seen.scaling
    return torch.softmax(scores, dim=-1).sum(dim=0)
