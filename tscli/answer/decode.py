"""Choosing the next token: greedy, or sampled with temperature and top-p."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tscli.errors import UsageError

GREEDY = 1e-6  # temperatures below: logits over them would not be numbers any more


@dataclass(frozen=True)
class Sampling:
    """temperature 0 is greedy; top_p keeps the smallest set of tokens with that much probability; seed fixes the draw."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"temperature must be a number from 0 on, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must lie in (0, 1], got {self.top_p}")
        if self.seed is not None and not -(1 << 63) <= self.seed < 1 << 64:
            raise UsageError(f"seed must be a number of 64 bits, got {self.seed}")


class Chooser(Protocol):
    """Says which token comes next."""

    def next_token(self, logits: Tensor) -> int:
        """logits [vocab], valid until the next call -> a token id."""


class Sampler:
    """Draws tokens one after the other; holds the random state."""

    def __init__(self, sampling: Sampling = Sampling()) -> None:
        self._sampling = sampling
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def next_token(self, logits: Tensor) -> int:
        """logits [vocab] -> a token id; greedy takes the lowest id among equals."""
        if self._sampling.temperature < GREEDY:
            return int(torch.argmax(logits))
        probabilities = torch.softmax(logits.double().cpu() / self._sampling.temperature, dim=-1)
        ordered, ids = probabilities.sort(descending=True, stable=True)
        ordered[ordered.cumsum(0) - ordered >= self._sampling.top_p] = 0
        return int(ids[torch.multinomial(ordered, 1, generator=self._generator)])
