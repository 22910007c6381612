"""Rows as 8-bit integers with one scale each: pages of keys and values, and weights of linear layers; weights of 4 bits,
and of 8 as two of 4.

A code times its row's scale is the number. Symmetric: the row's greatest magnitude is 127, zero is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

HIGHEST = 127
GROUP = 32  # inputs of a 4-bit weight's output that share their levels
OUTPUTS = 16  # that 4-bit weights come in multiples of
HALF_GROUP = GROUP // 2  # inputs of an 8-bit weight's output that share their levels
MIDDLE = 8 * 16 + 8  # the code of an 8-bit weight at which both of its halves are zero
PACKED_TOGETHER = 64  # outputs that packed codes come in runs of, or a divisor of it, in any order of torch's
PACKED_AT_ONCE = 1 << 22  # 8-bit codes that are spread over 4 bytes each to be packed
PAGE_SCALE = torch.bfloat16  # of a row of a page: the codes follow the rounded scale, so its few digits cost nothing


def quantise_rows(rows: Tensor, scale_dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Codes (int8) and scales (without the last dimension) of rows [..., width] of any float dtype.

    An element moves by at most half its row's scale. Rows of zeros have the scale 0; a NaN makes its row's scale NaN.
    """
    rows = rows.float()
    scale = (rows.abs().amax(dim=-1) / HIGHEST).to(scale_dtype)
    codes = rows / scale.float().clamp_min(torch.finfo(torch.float32).tiny)[..., None]
    return codes.round_().clamp_(-HIGHEST, HIGHEST).to(torch.int8), scale


def expand_rows(codes: Tensor, scale: Tensor) -> Tensor:
    """The numbers of codes [..., width] and their scales [...]; float32."""
    return codes.float().mul_(scale.float()[..., None])


def int8_linear(x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + bias by products of 8-bit integers, summed up as 32-bit ones.

    Each row of x is quantised by itself, so that a token's result does not depend on those it is run with.

    Args:
        x: [..., width], any float dtype. codes: [out, width] int8. scale: [out] float32. bias: [out] or None.

    Returns: [..., out] in the dtype of x.
    """
    inputs, sizes = quantise_rows(x.reshape(-1, x.shape[-1]))
    product = (torch._int_mm(inputs, codes.T) * scale).mul_(sizes[:, None])
    if bias is not None:
        product += bias
    return product.to(x.dtype).reshape(*x.shape[:-1], -1)


def pack_int4(codes: Tensor, step: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of 4 bits as `int4_linear` takes them: codes in this processor's order, and levels [in / GROUP, out, 2].

    A weight is zero + step * (code - 8).

    Args:
        codes: uint8 [out, in], 0 to 15; in a multiple of GROUP, out of OUTPUTS.
        step, zero: [out, in / GROUP] in the dtype of what will be multiplied.
    """
    packed: Tensor = torch._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
    return packed, torch.stack([step, zero], dim=-1).transpose(0, 1).contiguous()


def int4_linear(x: Tensor, packed: Tensor, levels: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + bias for a few rows x [t, in] on the CPU; [t, out] in its dtype.

    packed, levels: of `pack_int4`, levels in the dtype of x.
    """
    product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x.contiguous(), packed, GROUP, levels)
    return product if bias is None else product + bias


def pack_nibbles(codes: Tensor, step: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of 8 bits as `nibble_linear` takes them: each as two weights of 4 bits in this processor's order, and levels
    [in / HALF_GROUP, out, 2].

    A weight is zero + step * (code - MIDDLE).

    Args:
        codes: uint8 [out, in]; in a multiple of HALF_GROUP, out of OUTPUTS.
        step, zero: [out, in / HALF_GROUP], of any float dtype, which the levels have.
    """
    rows = max(1, PACKED_AT_ONCE // codes.shape[1] // PACKED_TOGETHER) * PACKED_TOGETHER
    parts = []
    for own in codes.split(rows):
        groups = own.unflatten(1, (-1, HALF_GROUP))
        halves = torch.stack([groups >> 4, groups & 15], dim=2).flatten(1)  # [rows, 2 * in], a group's upper halves first
        parts.append(torch._convert_weight_to_int4pack_for_cpu(halves.int(), 1))
    both = torch.stack([step.double() * 16, zero.double() * 16 / 17], dim=-1)  # an input goes in as 1 and 1 / 16 of itself
    return torch.cat(parts), both.transpose(0, 1).to(step.dtype).contiguous()


def nibble_linear(x: Tensor, packed: Tensor, levels: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + bias for a few rows x [t, in] on the CPU; [t, out] in its dtype.

    packed, levels: of `pack_nibbles`, levels in the dtype of x. Torch has no products of 8-bit weights in groups; those of
    twice as many 4-bit ones are as fast as its products of 8-bit ones with one scale per output, which are farther off.
    """
    groups = x.unflatten(-1, (-1, 1, HALF_GROUP))
    both = torch.cat([groups, groups * 2.0**-4], dim=-2).flatten(-3)  # exact: a power of two
    return int4_linear(both, packed, levels, bias)


def has_int8_products() -> bool:
    """Whether this processor multiplies 8-bit integers exactly: without VNNI instructions sums may overflow 16 bits."""
    extreme = torch.full((2, 64), HIGHEST, dtype=torch.int8)
    wanted = linear(extreme.double(), extreme.double()).int()
    return torch.equal(torch._int_mm(extreme, extreme.T), wanted) and torch.equal(torch._int_mm(-extreme, extreme.T), -wanted)
