"""How well the sketch selects: sampled against the exact scan, and more candidates where it falls short. Knows tensors only."""

from __future__ import annotations

import torch

from tscli.selection.select import Selection

EVERY = 61  # one selection of so many is made exactly too, of every layer in its turn (a prime: no multiple of the layers)
ENOUGH = 0.99  # of the votes that the exact selection holds
WIDEN = 4


class Guard:
    """Compares samples of each layer's selections and widens its candidates where too little was recalled."""

    def __init__(self, every: int | None = None, factor: int = 1) -> None:
        """every: one selection of so many is compared, of 0 none; None: of EVERY. factor: each layer's at first."""
        self._every = EVERY if every is None else every
        self._first_factor = factor
        self._seen = 0
        self._factor: dict[int, int] = {}
        self.masses: list[float] = []
        self.recalls: list[float] = []

    def due(self) -> bool:
        """Whether the next selection is one to be compared; counts it."""
        self._seen += 1
        return self._every > 0 and self._seen % self._every == 1 % self._every

    def factor(self, layer: int) -> int:
        """How many times as many candidates as usual this layer takes."""
        return self._factor.get(layer, self._first_factor)

    def compare(self, layer: int, found: Selection, exact: Selection) -> bool:
        """Take note of recall@k and of the share of the exact selection's votes that was found; whether it was enough."""
        held = torch.isin(exact.positions, found.positions)
        total = exact.votes.sum()
        mass = float((exact.votes * held).sum() / total) if total > 0 else 1.0
        self.masses.append(mass)
        self.recalls.append(float(held.float().mean()))
        if mass < ENOUGH:
            self._factor[layer] = self.factor(layer) * WIDEN
        return mass >= ENOUGH
