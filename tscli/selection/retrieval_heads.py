"""Which heads vote for passages, and how their votes become one ranking of windows. Knows tensors and numbers only.

In a pretrained model a few retrieval heads (arXiv 2404.15574, 2506.09944) find the passage that a question asks for, and the
sum over all heads of a layer, the paper's soft vote, drowns them. So the heads that vote are calibrated once per model. Each
head's votes (paper, Eq. 7: a softmax over the tokens, summed over the question's tokens) are pooled over windows; the heads'
rankings are fused by reciprocal rank, since one head's certainty says nothing about another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

VERSION = 6  # of the calibration: raised whenever the same model would get other retrieval heads
SOFTMAX_BATCH = 2  # of a question's tokens whose scores are normalised at once
WINDOW = 64  # tokens that are ranked together
FUSION = 5.0  # added to a rank before its reciprocal is taken: how little a first place counts over a second one


@dataclass(frozen=True)
class RetrievalHeads:
    """A model's retrieval heads, as the calibration found them.

    heads: (layer, query head), best first. skill: for each, the mean reciprocal rank of the right window over the calibration's
    lookups. passages: how many an answer should attend to; apart: whether each is read separately. absent_below: gain in
    nats per token of the question below which no passage is taken to answer it. contrast: the weight of what the passages
    change, see `answer.contrast`; 0 where answers are better without it.
    """

    heads: tuple[tuple[int, int], ...]
    skill: tuple[float, ...]
    passages: int
    apart: bool
    absent_below: float
    contrast: float = 0.0

    @property
    def last_layer(self) -> int:
        """The layer after which a forward pass over a question need not go on to vote."""
        return max(layer for layer, _ in self.heads)

    def of_layer(self, layer: int) -> list[tuple[int, int]]:
        """(place among the retrieval heads, query head) of those in a layer."""
        return [(place, head) for place, (own, head) in enumerate(self.heads) if own == layer]

    def kv_heads(self, group: int) -> set[tuple[int, int]]:
        """(layer, kv head) of those whose keys they scan; group: query heads of a kv head."""
        return {(layer, head // group) for layer, head in self.heads}

    def record(self) -> dict[str, Any]:
        """As it is kept in a file."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> RetrievalHeads | None:
        """As it was kept; None where another version of the calibration made it."""
        if record.get("version") != VERSION:
            return None
        heads = tuple((int(layer), int(head)) for layer, head in record["heads"])
        skill, limits = tuple(map(float, record["skill"])), (float(record["absent_below"]), float(record["contrast"]))
        return cls(heads, skill, int(record["passages"]), bool(record["apart"]), *limits)


def head_votes(scores: Tensor, out: Tensor | None = None) -> Tensor:
    """One head's votes: scores [t, n] of t tokens of a question become [n], each token's softmax summed up (paper, Eq. 7).

    out: to write to, float32 [n].
    A few tokens at a time, whose softmax fits in memory that was used before: new memory costs more than the sum.
    """
    votes = torch.empty(scores.shape[-1], dtype=torch.float32, device=scores.device) if out is None else out
    votes.zero_()
    for part in scores.split(SOFTMAX_BATCH):
        votes += torch.softmax(part.float(), dim=-1).sum(dim=0)
    return votes


def window_votes(votes: Tensor, width: int = WINDOW) -> Tensor:
    """Votes [..., n] summed over windows of so many tokens; [..., ceil(n / width)]."""
    whole = votes.shape[-1] // width * width  # the rest by itself, so that not all is copied
    rest = functional.pad(votes[..., whole:], (0, -votes.shape[-1] % width))
    return torch.cat([part.unflatten(-1, (-1, width)).sum(dim=-1) for part in (votes[..., :whole], rest)], dim=-1)


def ranked(windows: Tensor) -> list[int]:
    """Windows by heads' votes [heads, w], best first: all heads' fused ranking, and in turn with it that of the first head, the
    most skilled, which may be the only one to know other words for a thing."""
    orders = fused(windows).argsort(descending=True, stable=True), windows[0].argsort(descending=True, stable=True)
    both = torch.stack(orders, dim=1).flatten().tolist()
    return list(dict.fromkeys(both))


def fused(windows: Tensor) -> Tensor:
    """Heads' votes on windows [heads, w] as one score of each [w]: the sum of the reciprocal ranks."""
    order = windows.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.empty_like(windows)
    places = torch.arange(windows.shape[-1], dtype=windows.dtype, device=windows.device)
    ranks.scatter_(-1, order, places.expand_as(windows))
    return (1.0 / (FUSION + ranks)).sum(dim=0)
