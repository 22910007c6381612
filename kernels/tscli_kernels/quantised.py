"""Rows as 8-bit integers with one scale each: pages of keys and values, and weights of linear layers; weights of 4 bits.

A code times its row's scale is the number. Symmetric: the row's greatest magnitude is 127, zero is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

HIGHEST = 127
GROUP = 32  # inputs of a 4-bit weight's output that share their levels
OUTPUTS = 16  # that 4-bit weights come in multiples of
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


def has_int8_products() -> bool:
    """Whether this processor multiplies 8-bit integers exactly: without VNNI instructions sums may overflow 16 bits."""
    extreme = torch.full((2, 64), HIGHEST, dtype=torch.int8)
    wanted = linear(extreme.double(), extreme.double()).int()
    return torch.equal(torch._int_mm(extreme, extreme.T), wanted) and torch.equal(torch._int_mm(-extreme, extreme.T), -wanted)
