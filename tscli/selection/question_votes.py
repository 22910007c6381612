"""What a whole question votes for, so that it can be read a second time beside the passages that it chose.

Not in the paper. Measured on small models: the tokens of a question find the passage that answers it, each from its own
words, but in the last layers only, and the query of the answer's first token often does not. So the question is run once to
vote, then again with the sum of its votes as the one selection of all layers (docs/LOG.md has the figures).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection
from tscli_kernels import max_pool, top_k


class QuestionVotes:
    """Sums the votes of one layer over the tokens of a question."""

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
        elif length > self._votes.shape[0]:
            self._votes = functional.pad(self._votes, (0, length - self._votes.shape[0]))
        if positions is None:
            self._votes[:length] += vote
        else:
            self._votes.index_add_(0, positions, vote)

    def selection(self, config: SelectionConfig, num_cached: int) -> Selection | None:
        """The selection for the second reading among the `num_cached` tokens of the documents; None if nothing was voted on."""
        local_start = max(config.n_init, num_cached - config.n_local)
        if self._votes is None:
            return None
        votes = self._votes[: local_start - config.n_init]
        votes = functional.pad(votes, (0, local_start - config.n_init - votes.shape[0]))
        chosen = top_k(max_pool(votes, config.pool), config.count(votes.shape[0]))
        return Selection(chosen + config.n_init, votes[chosen], local_start)
