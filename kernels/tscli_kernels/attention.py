"""Attention of a few queries over the rows that were gathered for them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tscli_kernels import reference

# Up to this many elements of key the scores are computed in float32 even when the key is bfloat16; beyond it the
# conversion would cost more than the product, and the product's own float32 accumulation, rounded once, must do.
FLOAT32_ELEMENTS = 1 << 22


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float,
    mask: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Softmax attention with grouped kv heads.

    Args:
        query: [q_heads, t, head_dim]; key, value: [kv_heads, s, head_dim], all of one dtype.
        scaling: factor on the dot products.
        mask: [t, s] bool, True where a query may look; None: everywhere.
        softcap: Gemma 2's bound on the scaled scores, c * tanh(score / c).

    Returns: [q_heads, t, head_dim] in the dtype of query.
    """
    q_heads, t, head_dim = query.shape
    if t > 1 and softcap is None:
        if query.device.type != "cpu":
            return _folded(query[None], key[None], value[None], None if mask is None else mask[None], scaling)[0]
        return functional.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=mask, scale=scaling, enable_gqa=q_heads != key.shape[0]
        )[0]
    grouped = query.reshape(key.shape[0], -1, head_dim)  # [kv_heads, group * t, head_dim]
    if key.numel() <= FLOAT32_ELEMENTS and key.dtype in (torch.bfloat16, torch.float16):
        grouped, key, value = grouped.float(), key.float(), value.float()
    scores = _products(grouped, key.transpose(-1, -2)).to(_score_dtype(key)) * scaling  # [kv_heads, group * t, s]
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask.repeat(grouped.shape[1] // t, 1), float("-inf"))
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    return _products(weights, value).reshape(q_heads, t, head_dim).to(query.dtype)


def attend_causal(query: Tensor, key: Tensor, value: Tensor, *, scaling: float, softcap: float | None = None) -> Tensor:
    """Softmax attention of tokens over the rows before them and, causally, over themselves, without a materialised mask.

    Args:
        query: [q_heads, t, head_dim]; key, value: [kv_heads, s, head_dim], all of one dtype; the last t of the s rows are
            those of the queries' own tokens, and query i sees all rows up to its own.
        scaling, softcap: as `attend` has them.

    Returns: [q_heads, t, head_dim] in the dtype of query.
    """
    t, s = query.shape[1], key.shape[1]
    if t == 1:
        return attend(query, key, value, scaling=scaling, softcap=softcap)
    if softcap is not None:
        return attend(query, key, value, scaling=scaling, mask=_causal(t, s, query.device), softcap=softcap)
    if query.device.type != "cpu":
        from torch.nn.attention.bias import causal_lower_right  # which takes a second

        bias = causal_lower_right(t, s)
        group = query.shape[0] // key.shape[0]
        if group > 1 and query.dtype not in (torch.bfloat16, torch.float16):  # only the kernels for these take groups of heads
            key, value = (part.repeat_interleave(group, dim=0) for part in (key, value))
        gqa = query.shape[0] != key.shape[0]
        return functional.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=bias, scale=scaling, enable_gqa=gqa
        )[0]
    group = query.shape[0] // key.shape[0]
    key, value = (part.repeat_interleave(group, dim=0) if group > 1 else part for part in (key, value))
    before = s - t
    own, own_sum = _flash(query, key[:, before:], value[:, before:], scaling, causal=True)
    if not before:
        return own
    old, old_sum = _flash(query, key[:, :before], value[:, :before], scaling, causal=False)
    return torch.lerp(own, old, torch.sigmoid(old_sum - own_sum)[..., None].to(own.dtype))


def attend_each(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor, scaling: float, softcap: float | None = None
) -> Tensor:
    """Softmax attention of several sequences, each over its own rows.

    Args:
        query: [n, q_heads, t, head_dim]; key, value: [n, kv_heads, s, head_dim], all of one dtype, finite where masked too.
        mask: [n, t, s] bool, True where a query may look; without a softcap also what is added to the scores, 0 or -inf, in
            the dtype of query, into which torch turns the other at each call.
        scaling, softcap: as `attend` has them.

    Returns: [n, q_heads, t, head_dim] in the dtype of query.
    """
    if softcap is not None:
        parts = zip(query, key, value, mask, strict=True)
        return torch.stack([attend(q, k, v, scaling=scaling, mask=m, softcap=softcap) for q, k, v, m in parts])
    if query.shape[2] == 1 or query.device.type != "cpu":
        return _folded(query, key, value, mask, scaling)
    gqa = query.shape[1] != key.shape[1]
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None], scale=scaling, enable_gqa=gqa)


def _folded(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """`attend_each` with the heads of a group as if they were tokens. For one token on the CPU keys are packed once for all of
    them, 4x as fast. For CUDA torch's fused kernels take a mask or groups of heads, but hardly ever both, and the way that is
    left copies the keys for each head and keeps all scores in float32."""
    group = query.shape[1] // key.shape[1]
    grouped = query.reshape(query.shape[0], key.shape[1], -1, query.shape[3])  # [n, kv_heads, group * t, head_dim]
    if mask is not None:
        mask = (mask if query.shape[2] == 1 else mask.repeat(1, group, 1))[:, None]
    out = functional.scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return out.reshape(query.shape)


def _flash(query: Tensor, key: Tensor, value: Tensor, scaling: float, *, causal: bool) -> tuple[Tensor, Tensor]:
    """Torch's own attention of as many key as query heads on the CPU, and each query's log-sum-exp, float32 [q_heads, t]."""
    out, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query[None], key[None], value[None], 0.0, causal, scale=scaling
    )
    return out[0], sums[0]


def _causal(t: int, s: int, device: torch.device) -> Tensor:
    """[t, s] bool: True where query i, whose own row is s - t + i, may look."""
    return torch.ones(t, s, dtype=torch.bool, device=device).tril(s - t)


def attend_turned(query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor, *, scaling: float) -> Tensor:
    """Softmax attention of one query, with the rotation in the same pass: rows are rotated to positions 0, 1, ..., the query to
    the last one's.

    Args:
        query: [q_heads, 1, head_dim]; key, value: [kv_heads, s, head_dim]; on the CPU, contiguous bfloat16 or float32.
        cos, sin: float32 [at least s, rotary_dim], halves rotated against each other.
        scaling: factor on the dot products.

    Returns: [q_heads, 1, head_dim] in the dtype of query.
    """
    from tscli_kernels.cpu import attending

    return attending.attend_turned(query, key, value, cos, sin, scaling=scaling)


def attend_selected(
    query: Tensor,
    key_pages: Tensor,
    value_pages: Tensor,
    rows: Tensor,
    key: Tensor,
    value: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    scaling: float,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Softmax attention of a chunk over selected rows of pages and, causally, over fresh ones, at compact positions.

    By one kernel on a GPU; elsewhere as plainly as the reference, for nothing that is run often.

    Args:
        query: [q_heads, t, head_dim]; key, value: [kv_heads, f, head_dim], f >= t, the last t of them the queries' own; all
            unrotated and of one dtype.
        key_pages, value_pages: [pages, kv_heads, page_size, head_dim], contiguous, the same dtype.
        rows: int64 [s], slots counted through all pages, ascending.
        cos, sin: [s + f, rotary_dim] float32, of positions 0, 1, ...; halves are rotated, what is past rotary_dim is not.
        scaling: factor on the scores; softcap: c * tanh(score / c).

    Returns: [q_heads, t, head_dim] in the dtype of query, and the log-sum-exp [q_heads, t] float32.
    """
    if key_pages.is_cuda:
        from tscli_kernels.cuda import attending

        inputs = (part.contiguous() for part in (query, key_pages, value_pages, rows, key, value, cos, sin))
        return attending.attend_selected(*inputs, scaling=scaling, softcap=softcap)
    q, k_pages, v_pages, k, v = (part.to(_score_dtype(part)) for part in (query, key_pages, value_pages, key, value))
    out, lse = reference.attend_selected(q, k_pages, v_pages, rows, k, v, cos, sin, scaling=scaling, softcap=softcap)
    return out.to(query.dtype), lse.float()


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Of one matrix of each after the other: kv heads that lie apart, as in a buffer that grows, a batch would copy."""
    if right.device.type != "cpu" or right.is_contiguous() or right.transpose(-1, -2).is_contiguous():
        return torch.matmul(left, right)
    return torch.stack([torch.mm(one, other) for one, other in zip(left, right, strict=True)])


def _score_dtype(key: Tensor) -> torch.dtype:
    return torch.float64 if key.dtype == torch.float64 else torch.float32
