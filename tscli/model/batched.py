"""Tokens of several sequences in one pass of the model: the weights are read once, each sequence attends to its own cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tscli.model.attention import AttentionRun
from tscli.model.step import LayerCall


class BatchedRun:
    """Attention of sequences that lie one behind the other, `sizes` tokens of each; a model sees them as one `AttentionRun`."""

    def __init__(self, runs: Sequence[AttentionRun], sizes: Sequence[int]) -> None:
        self._runs = runs
        self._sizes = list(sizes)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """As `AttentionRun`, the tokens of all sequences in the second dimension."""
        parts = zip(self._runs, *(part.split(self._sizes, dim=1) for part in (query, key, value)), strict=True)
        return torch.cat([run(q, k, v, call) for run, q, k, v in parts], dim=1)

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """As `AttentionRun.keep`."""
        for run, q, k, v in zip(self._runs, *(part.split(self._sizes, dim=1) for part in (query, key, value)), strict=True):
            run.keep(q, k, v, call)

    def advance(self) -> None:
        """All layers have appended every sequence's tokens."""
        for run, size in zip(self._runs, self._sizes, strict=True):
            run.state.advance(size)

    @property
    def ends(self) -> list[int]:
        """The rows of each sequence's last token."""
        return [int(end) - 1 for end in torch.tensor(self._sizes).cumsum(0)]
