"""Tokens of several runs in one pass of the model: the weights are read once, each run attends to its own cache."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from tscli.model.step import CountedRun, LayerCall


class BatchedRun:
    """Attention of runs whose tokens lie one behind the other, `sizes` tokens of each; a model sees them as one run."""

    def __init__(self, runs: Sequence[CountedRun], sizes: Sequence[int]) -> None:
        self._runs = runs
        self._sizes = list(sizes)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """As `AttentionRun`, the tokens of all runs in the second dimension."""
        parts = zip(self._runs, *(part.split(self._sizes, dim=1) for part in (query, key, value)), strict=True)
        return torch.cat([run(q, k, v, call) for run, q, k, v in parts], dim=1)

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """As `AttentionRun.keep`."""
        for run, q, k, v in zip(self._runs, *(part.split(self._sizes, dim=1) for part in (query, key, value)), strict=True):
            run.keep(q, k, v, call)

    def advance(self, num_tokens: int) -> None:
        """All layers have seen so many tokens, of all runs together."""
        for run, size in zip(self._runs, self._sizes, strict=True):
            run.advance(size)

    def rows(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """Where these rows of each run's tokens lie among those of all."""
        starts = accumulate(self._sizes, initial=0)
        return [start + row for start, own in zip(starts, rows, strict=False) for row in own]
