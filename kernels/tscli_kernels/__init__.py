"""Pure functions on tensors for TokenSelect: scoring, voting, top-k, gathering, attention. Knows nothing of tscli.

Each function stands beside a plain float64-capable reference in `reference`, against which it is tested.
"""

from tscli_kernels.attention import attend
from tscli_kernels.pages import gather_rows, row_index, score_pages, take_rows
from tscli_kernels.quantised import PAGE_SCALE, expand_rows, has_int8_products, int8_linear, quantise_rows
from tscli_kernels.top_k import top_k
from tscli_kernels.vote import hard_vote, max_pool, raw_vote, soft_vote

__all__ = [
    "PAGE_SCALE",
    "attend",
    "expand_rows",
    "gather_rows",
    "hard_vote",
    "has_int8_products",
    "int8_linear",
    "max_pool",
    "quantise_rows",
    "raw_vote",
    "row_index",
    "score_pages",
    "soft_vote",
    "take_rows",
    "top_k",
]
