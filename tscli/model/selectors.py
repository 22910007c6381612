"""What of a state new tokens attend to: ways to choose, any of which an `Attention` can be given.

Each is asked by a layer's query and sees no more of the state than the scores of its keys. Knows no files, tokens or text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tscli.model.kv import KVState
from tscli.model.rotary import Rotator
from tscli.selection.candidates import num_candidates, search, select_among, uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import Guard
from tscli.selection.question_votes import QuestionVotes, nearby
from tscli.selection.select import Selection, select_by, vote_of


@dataclass(frozen=True)
class LayerQuery:
    """New tokens' queries in one layer, [q_heads, t, head_dim], unrotated, and the scores that they give to cached keys."""

    state: KVState
    rotator: Rotator
    config: SelectionConfig
    layer: int
    query: Tensor

    @cached_property
    def rotated(self) -> Tensor:
        """Query i rotated to position n_local + i: all candidates, unrotated, look equally far; float32."""
        first, t = self.config.n_local, self.query.shape[1]
        places = torch.arange(first, first + t, device=self.query.device)
        return self.rotator(self.query.float(), places, self.layer, length=first + t)

    @cached_property
    def mean(self) -> Tensor:
        """What scores: the mean of the rotated queries, [q_heads, head_dim]."""
        mean: Tensor = self.rotated.mean(dim=1)
        return mean if self.config.head_mapping == "grouped" else as_the_reference_maps(mean, self.state.kv_heads)

    @property
    def scale(self) -> float:
        """Factor on dot products."""
        return float(self.query.shape[-1] ** -0.5) if self.config.scale == "sqrt" else 1.0

    def scores(self, start: int, stop: int) -> Tensor:
        """Scaled scores of the tokens [start, stop): float32 [q_heads, stop - start]."""
        scores = self.state.scores(self.layer, self.mean, stop)
        return (scores if self.scale == 1.0 else scores * self.scale)[:, start:]

    def scores_at(self, positions: Tensor) -> Tensor:
        """The same of tokens at ascending positions (int64 [n]); [q_heads, n]."""
        return self.state.scores_at(self.layer, self.mean, positions) * self.scale

    def vote(self, local_start: int) -> Tensor:
        """The exact votes of all candidates, [local_start - n_init]."""
        first = self.config.n_init
        return vote_of(self.scores(first, local_start), self.config.count(local_start - first), self.config)


class Selector(Protocol):
    """A way to choose among the candidates, which are the tokens [n_init, local_start): more of them than are selected."""

    def __call__(self, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
        """What is attended besides the first tokens and the local window, and whether that was chosen before."""


@dataclass(frozen=True)
class ExactSelector:
    """By the exact scores of all candidates. votes: gathers the votes."""

    votes: QuestionVotes | None = None

    def __call__(self, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
        vote = query.vote(local_start)
        if self.votes is not None and query.layer == self.votes.layer:
            self.votes.add(vote)
        return select_by(vote, query.config.n_init, local_start, query.config), False


@dataclass(frozen=True)
class SketchSelector:
    """By the exact scores of the candidates that the state's sketch finds; by those of all where there is no sketch, it would
    not pay or was found wanting, and where the settings ask for it.

    guard: compares samples of what is selected with the exact scan. votes: gathers the votes.
    """

    guard: Guard | None = None
    votes: QuestionVotes | None = None

    def __call__(self, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
        selection = self._by_sketch(query, local_start)
        return ExactSelector(self.votes)(query, local_start) if selection is None else (selection, False)

    def _by_sketch(self, query: LayerQuery, local_start: int) -> Selection | None:
        config, layer, sketch = query.config, query.layer, query.state.sketch
        first, num = config.n_init, local_start - config.n_init
        if sketch is None or not uses_sketch(config, num):
            return None
        count = num_candidates(config.count(num), num) * (self.guard.factor(layer) if self.guard else 1)
        if count >= num // 2:
            return None
        stop = min(local_start, sketch.length)
        found = search(sketch, layer, query.mean, first, stop, count)
        rest = torch.arange(stop, local_start, device=query.mean.device)  # not in the sketch yet
        positions = torch.cat([found.positions + first, rest])
        votes = found.votes(query.scores_at(positions), sketch.shift(layer, query.mean), query.scale)
        selection = select_among(positions, votes, first, local_start, config)
        if self.guard is not None and self.guard.due():
            exact, _ = ExactSelector()(query, local_start)
            if not self.guard.compare(layer, selection, exact):
                return None
        if self.votes is not None and layer == self.votes.layer:
            self.votes.add(votes, positions - first)
        return selection


class SelectionCache:
    """The Selection Cache (paper, Algorithm 1): a query like the one that last selected anew in its layer, by another selector,
    reuses its selection. theta: cosine similarity from which it does, over all heads flattened."""

    def __init__(self, theta: float, selector: Selector | None = None) -> None:
        self._theta = theta
        self._selector = selector or SketchSelector()
        self._last: dict[int, tuple[Tensor, Selection]] = {}

    def __call__(self, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
        if query.layer in self._last:
            last, known = self._last[query.layer]
            similarity = cosine_similarity(query.mean.flatten().float(), last.flatten().float(), dim=0)
            if float(similarity) >= self._theta and _is_recent(known, query, local_start):
                return known, True
        selection, _ = self._selector(query, local_start)
        self._last[query.layer] = query.mean, selection
        return selection, False


@dataclass(frozen=True)
class FixedSelector:
    """The same in all layers, as long as it is recent, then by another selector. votes: gathers the votes on what stands in and
    around it."""

    selection: Selection
    selector: Selector = field(default_factory=SketchSelector)
    votes: QuestionVotes | None = None

    def __call__(self, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
        if not _is_recent(self.selection, query, local_start):
            return self.selector(query, local_start)
        if self.votes is not None and query.layer == self.votes.layer:
            positions = nearby(self.selection, query.config)
            vote = vote_of(query.scores_at(positions), self.selection.positions.shape[0], query.config)
            self.votes.add(vote, positions - query.config.n_init)
        return self.selection, True


def as_the_reference_maps(query: Tensor, kv_heads: int) -> Tensor:
    """The query heads in an order in which head h is scored against the keys of kv head h % kv_heads instead of h // group."""
    heads = sorted(range(query.shape[0]), key=lambda head: (head % kv_heads, head))
    return query[heads]


def _is_recent(selection: Selection, query: LayerQuery, local_start: int) -> bool:
    """What left the local window since a selection stays attended; past a chunk's worth, it is made anew."""
    return local_start - selection.local_start <= query.config.chunk
