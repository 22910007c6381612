"""Several passes through the model as one: the weights are read once, each pass attends to its own cache."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from tscli.model.step import LayerCall, Pass


class BatchedRun:
    """Attention of several passes, whose tokens lie one behind the other; a model sees them as one run.

    rows: where the rows of all passes lie among all tokens.
    """

    def __init__(self, passes: Sequence[Pass]) -> None:
        self._runs = [one.run for one in passes]
        self._sizes = [one.token_ids.shape[0] for one in passes]
        starts = accumulate(self._sizes[:-1], initial=0)
        self.rows = [start + row for start, one in zip(starts, passes, strict=True) for row in one.rows]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """As `Attention`, the tokens of all passes in the second dimension."""
        parts = zip(self._runs, *(part.split(self._sizes, dim=1) for part in (query, key, value)), strict=True)
        return torch.cat([run(q, k, v, call) for run, q, k, v in parts], dim=1)

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """As `Attention.keep`."""
        for run, q, k, v in zip(self._runs, *(part.split(self._sizes, dim=1) for part in (query, key, value)), strict=True):
            run.keep(q, k, v, call)

    def advance(self, num_tokens: int) -> None:
        """All layers have seen so many tokens, of all passes together."""
        for run, size in zip(self._runs, self._sizes, strict=True):
            run.advance(size)
