"""What a whole question votes for, so that it can be read a second time attending to the passages that it chose.

Not in the paper. Measured on small models: the tokens of a question find the passage that answers it, each from its own
words, but in the last layers only, and the query of the answer's first token often does not. So the question is run once to
vote, then again with the sum of its votes as the one selection of all layers (docs/LOG.md has the figures). The answer's tokens
add their votes on what stands in and around the selection, so that it moves along with an answer that is longer than a passage.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tscli.selection.candidates import select_among
from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection
from tscli_kernels import max_pool, top_k


class QuestionVotes:
    """Sums the votes of one layer over the tokens of a question and of its answer."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self._votes: Tensor | None = None

    def add(self, vote: Tensor, positions: Tensor | None = None) -> None:
        """Add one token's vote on the candidates; later tokens have a few more candidates than earlier ones.

        vote: [n], or [c] with the candidates' positions (int64 [c]) where all others got next to nothing.
        """
        length = vote.shape[0] if positions is None else int(positions[-1]) + 1
        if self._votes is None:
            self._votes = vote.new_zeros(length)
        self._votes = _at_least(self._votes, length)
        if positions is None:
            self._votes[:length] += vote
        else:
            self._votes.index_add_(0, positions, vote)

    def selection(self, config: SelectionConfig, num_cached: int) -> Selection | None:
        """The selection for the second reading among the `num_cached` tokens of the documents; None if nothing was voted on, or
        none of them can be selected."""
        local_start = max(config.n_init, num_cached - config.n_local)
        if self._votes is None or local_start == config.n_init:
            return None
        votes = _at_least(self._votes, local_start - config.n_init)[: local_start - config.n_init]
        chosen = top_k(max_pool(votes, config.pool), config.count(votes.shape[0]))
        return Selection(chosen + config.n_init, votes[chosen], local_start)

    def follow(self, fixed: Selection, config: SelectionConfig) -> Selection:
        """The selection by all votes so far among what stands in and around an earlier one."""
        if self._votes is None:
            return fixed
        positions = nearby(fixed, config)
        self._votes = _at_least(self._votes, fixed.local_start - config.n_init)
        return select_among(positions, self._votes[positions - config.n_init], config.n_init, fixed.local_start, config)


def nearby(fixed: Selection, config: SelectionConfig) -> Tensor:
    """The candidates that lie at most a pooling window's width from a selected one; int64, ascending."""
    starts = (fixed.positions - config.pool).clamp_min(config.n_init)
    stops = (fixed.positions + config.pool + 1).clamp_max(fixed.local_start)  # ascending, as the positions are
    starts[1:] = torch.maximum(starts[1:], stops[:-1])
    sizes = (stops - starts).clamp_min(0)
    before = sizes.cumsum(0) - sizes
    return (starts - before).repeat_interleave(sizes) + torch.arange(int(sizes.sum()), device=sizes.device)


def _at_least(votes: Tensor, length: int) -> Tensor:
    """Padded with zeros at the end, where there are fewer."""
    return votes if votes.shape[0] >= length else functional.pad(votes, (0, length - votes.shape[0]))
