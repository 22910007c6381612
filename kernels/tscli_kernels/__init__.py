"""Pure functions on tensors for TokenSelect: scoring, voting, top-k, gathering, attention. Knows nothing of tscli.

Each function stands beside a plain float64-capable reference in `reference`, against which it is tested.
"""

from tscli_kernels.attention import attend
from tscli_kernels.pages import gather_rows, score_pages
from tscli_kernels.top_k import top_k
from tscli_kernels.vote import hard_vote, max_pool, raw_vote, soft_vote

__all__ = ["attend", "gather_rows", "hard_vote", "max_pool", "raw_vote", "score_pages", "soft_vote", "top_k"]
