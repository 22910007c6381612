"""Attention for training in which questions also see the documents of other sequences of the batch, as distractors.

Sparse decoding must find a fact among far more tokens than the window holds. So the queries of questions and answers
attend, in one softmax, to their own sequence and to the documents of some others (Focused Transformer, arXiv 2307.03170):
keys learn to stand out among thousands at the cost of a window of hundreds. Knows nothing of the corpus.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface


@dataclass(frozen=True)
class Crossing:
    """Which documents the last `tail` tokens of each sequence may see besides their own sequence.

    others: [rows, num_others] int64, rows of the batch. mask: [rows, 1, tail, (1 + num_others) * length] bool.
    """

    tail: int
    others: Tensor
    mask: Tensor


def cross(first_question: Tensor, length: int, tail: int, num_others: int) -> Crossing:
    """A random crossing. first_question: [rows] int64, where each sequence's first question begins."""
    rows, device = len(first_question), first_question.device
    shift = torch.randperm(rows - 1, device=device)[:num_others] + 1
    others = (torch.arange(rows, device=device)[:, None] + shift) % rows  # [rows, num_others]
    place = torch.arange(length, device=device)
    query = place[-tail:]
    own = (place[None] <= query[:, None]).expand(rows, tail, length)
    document = (place >= 1) & (place < first_question[:, None])  # [rows, length]
    asks = query[None] >= first_question[:, None]  # [rows, tail]
    seen = document[others].flatten(1)[:, None] & asks[..., None]  # [rows, tail, num_others * length]
    return Crossing(tail, others, torch.cat([own, seen], dim=-1)[:, None])


def register() -> str:
    """Make the attention known to transformers; returns the name for `attn_implementation`."""
    AttentionInterface.register("tscli_crossing", _attention)
    AttentionMaskInterface.register("tscli_crossing", lambda *args, **kwargs: None)
    return "tscli_crossing"


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    crossing: Crossing | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """query [rows, q_heads, length, head_dim], key and value [rows, kv_heads, length, head_dim]; causal throughout."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    out = scaled_dot_product_attention(query, key, value, is_causal=True)
    if crossing is not None:
        keys, values = _with_others(key, crossing.others), _with_others(value, crossing.others)
        late = scaled_dot_product_attention(query[:, :, -crossing.tail :], keys, values, attn_mask=crossing.mask)
        out = torch.cat([out[:, :, : -crossing.tail], late], dim=2)
    return out.transpose(1, 2).contiguous(), None


def _with_others(rows: Tensor, others: Tensor) -> Tensor:
    """[rows, heads, length, d] -> [rows, heads, (1 + num_others) * length, d]: each row, then those of the others."""
    found = rows[others].transpose(1, 2).flatten(2, 3)  # [rows, heads, num_others * length, d]
    return torch.cat([rows, found], dim=2)
