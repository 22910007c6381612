"""Pure functions on tensors for TokenSelect: scoring, voting, top-k, gathering, attention. Knows nothing of tscli.

Each function stands beside a plain float64-capable reference in `reference`, against which it is tested.
"""

from tscli_kernels.attention import attend, attend_causal, attend_each, attend_selected, attend_turned
from tscli_kernels.blocks import block_linear, pack_blocks
from tscli_kernels.compiled import has_byte_products
from tscli_kernels.gpu_page_table import GpuPageTable, score_head
from tscli_kernels.key_votes import KeyTable, vote_on_keys
from tscli_kernels.page_table import PageTable, copy_rows, score_rows, score_table
from tscli_kernels.pages import row_index, score_pages, take_rows
from tscli_kernels.quantised import (
    GROUP,
    HALF_GROUP,
    MIDDLE,
    OUTPUTS,
    PAGE_SCALE,
    expand_rows,
    has_int8_products,
    int4_linear,
    int8_linear,
    nibble_linear,
    pack_int4,
    pack_nibbles,
    quantise_rows,
)
from tscli_kernels.rowwise import rowwise_linear
from tscli_kernels.sketch_codes import decode_sketch, encode_sketch, reaching, reaching_codes, scan_codes
from tscli_kernels.top_k import DAMAGED, top_k
from tscli_kernels.two_bytes import pack_two_bytes, two_byte_linear, two_bytes_are_faster
from tscli_kernels.vote import hard_vote, max_pool, raw_vote, soft_vote, vote_beside

__all__ = [
    "DAMAGED",
    "GROUP",
    "HALF_GROUP",
    "MIDDLE",
    "OUTPUTS",
    "PAGE_SCALE",
    "GpuPageTable",
    "KeyTable",
    "PageTable",
    "attend",
    "attend_causal",
    "attend_each",
    "attend_selected",
    "attend_turned",
    "block_linear",
    "copy_rows",
    "decode_sketch",
    "encode_sketch",
    "expand_rows",
    "hard_vote",
    "has_byte_products",
    "has_int8_products",
    "int4_linear",
    "int8_linear",
    "max_pool",
    "nibble_linear",
    "pack_blocks",
    "pack_int4",
    "pack_nibbles",
    "pack_two_bytes",
    "quantise_rows",
    "raw_vote",
    "reaching",
    "reaching_codes",
    "row_index",
    "rowwise_linear",
    "scan_codes",
    "score_head",
    "score_pages",
    "score_rows",
    "score_table",
    "soft_vote",
    "take_rows",
    "top_k",
    "two_byte_linear",
    "two_bytes_are_faster",
    "vote_beside",
    "vote_on_keys",
]
