"""From approximate scores to a selection: candidates by threshold, their exact votes, top-k among them. Knows tensors only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection, select
from tscli.selection.sketch import Scan
from tscli_kernels import reaching, top_k, vote_beside

SKETCH_FROM = 65_536  # candidates from which the sketch is faster than the exact scan (docs/LOG.md)
SAMPLE = 16_384  # tokens that are looked at to set the threshold and to estimate the softmax's tail


def uses_sketch(config: SelectionConfig, num_tokens: int) -> bool:
    """Whether so many candidates are scanned by the sketch where there is one: soft votes only, and not below the length
    from which it pays."""
    return config.scan == "sketch" and config.metric == "soft" and num_tokens >= SKETCH_FROM


def num_candidates(k: int, num_tokens: int) -> int:
    """How many candidates a scan aims at: a sixty-fourth of the tokens, and eight for each that is selected."""
    return max(8 * k, num_tokens // 64)


@dataclass(frozen=True)
class SketchCandidates:
    """Candidates of one query.

    positions: int64 [c], ascending, counted from where was searched. others: a sample of the scores of all other tokens, each
    head's less the scan's shift, float32 [q_heads, m], -inf for those that are candidates; each stands for `step` tokens.
    """

    positions: Tensor
    others: Tensor
    step: int

    def votes(self, exact: Tensor, shift: Tensor, scale: float = 1.0) -> Tensor:
        """Soft votes (paper, Eq. 7) of tokens with these exact scores [q_heads, n], the softmax's sum over all others estimated
        from the sample; [n]. shift: [q_heads], the scan's, to be added to the sample. scale: factor on the sample."""
        return vote_beside(exact, (self.others + shift[:, None]).mul_(scale), self.step)


def search(scan: Scan, layer: int, query: Tensor, start: int, stop: int, count: int) -> SketchCandidates:
    """The tokens of [start, stop) that any head scores among its best, about `count` in all, and the outliers.

    Each head's threshold is what count / q_heads tokens reach, as a sample of the tokens has it; as many more where scores are
    equal.
    """
    step = max(1, scan.length // SAMPLE)
    sample, odd = scan.sampled(layer, query, start, stop, step)
    threshold = _threshold(sample, count if count < stop - start else None, step)
    positions = _united(scan.reaching(layer, query, start, stop, threshold), scan.outlying(layer, start, stop))
    known = odd | (sample >= threshold[:, None]).any(dim=0)
    return SketchCandidates(positions, sample.masked_fill(known, float("-inf")), step)


@dataclass(frozen=True)
class Scores:
    """A scan whose approximate scores [q_heads, length], each head's less its shift, are all known, of any layer and query."""

    scores: Tensor
    shifts: Tensor  # [q_heads]
    outliers: Tensor  # int64 [m]

    @property
    def length(self) -> int:
        return self.scores.shape[1]

    def shift(self, layer: int, query: Tensor) -> Tensor:
        return self.shifts

    def outlying(self, layer: int, start: int, stop: int) -> Tensor:
        return self.outliers[(self.outliers >= start) & (self.outliers < stop)] - start

    def sampled(self, layer: int, query: Tensor, start: int, stop: int, step: int) -> tuple[Tensor, Tensor]:
        places = torch.arange(start, stop, step, device=self.scores.device)
        return self.scores[:, start:stop:step].float(), torch.isin(places, self.outliers)

    def reaching(self, layer: int, query: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
        return reaching(self.scores[:, start:stop].float(), threshold)


def mass_recalled(exact: Tensor, scan: Scan, layer: int, query: Tensor, config: SelectionConfig) -> float:
    """Share of the exact selection's votes that the selection by a scan holds; exact: scores [q_heads, n] of its tokens."""
    n = exact.shape[1]
    found = search(scan, layer, query, 0, n, num_candidates(config.count(n), n))
    votes = found.votes(exact[:, found.positions], scan.shift(layer, query))
    chosen, wanted = select_among(found.positions, votes, 0, n, config), select(exact, 0, n, config)
    total = wanted.votes.sum()
    return float((wanted.votes * torch.isin(wanted.positions, chosen.positions)).sum() / total) if total > 0 else 1.0


def select_among(positions: Tensor, votes: Tensor, first: int, local_start: int, config: SelectionConfig) -> Selection:
    """What `select` makes of votes that are zero everywhere but at the candidates.

    positions: int64 [c], ascending, of tokens in [first, local_start); votes: [c].
    """
    k = config.count(local_start - first)
    best = top_k(votes, k)
    if config.pool <= 1:
        return Selection(positions[best], votes[best], local_start)
    # Only windows around the k best can hold what pooling selects: each of them is worth more than what it keeps out.
    reach = torch.arange(-(config.pool // 2), config.pool // 2 + 1, device=positions.device)
    places = (positions[best][:, None] + reach).flatten()
    worth = votes[best].repeat_interleave(reach.shape[0])
    inside = (places >= first) & (places < local_start)
    unique, which = torch.unique(places[inside], return_inverse=True)  # ascending
    pooled = torch.zeros(unique.shape[0], dtype=votes.dtype, device=votes.device)
    pooled.scatter_reduce_(0, which, worth[inside], "amax")
    chosen = unique[top_k(pooled, k)]
    found = torch.searchsorted(positions, chosen).clamp_max(positions.shape[0] - 1)
    return Selection(chosen, torch.where(positions[found] == chosen, votes[found], 0.0), local_start)


def _threshold(sample: Tensor, count: int | None, step: int) -> Tensor:
    """What about count / q_heads tokens reach in each head; None: what all do. sample: [q_heads, m], one in `step`."""
    heads, m = sample.shape
    if count is None or m == 0:
        return sample.new_full((heads,), float("-inf"))
    kept = max(1, min(m, round(count / heads / step)))
    if sample.is_cuda:
        return sample.topk(kept, dim=-1).values[:, -1]
    return torch.from_numpy(np.partition(sample.numpy(), m - kept, axis=-1)[:, m - kept].copy())  # a part of topk's time


def _united(found: Tensor, always: Tensor) -> Tensor:
    """The positions of both, int64 ascending, each once. On the CPU numpy sorts several times as fast."""
    both = torch.cat([found, always])
    both = both.sort().values if both.is_cuda else torch.from_numpy(np.sort(both.numpy()))
    return torch.unique_consecutive(both)
