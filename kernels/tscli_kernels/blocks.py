"""Weights of 4 or 8 bits in blocks of OUTPUTS outputs and GROUP inputs, each one behind the other as they are multiplied.

A block is 16 steps and 16 least weights, float16, one of each for an output, and its codes: bytes of four neighbouring inputs
of each output in turn, the next four behind them. Of 4 bits, the lower halves of bytes are the first half of the inputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tscli_kernels.quantised import GROUP, OUTPUTS

HEADER = 2 * 2 * OUTPUTS  # bytes
HIGHEST_LEVEL = 2.0**14  # that the greatest least weight, or step, is put at: float16 has its full precision far below that


def pack_blocks(codes: Tensor, step: Tensor, least: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Weights least + step * code as `block_linear` takes them: uint8 [out / OUTPUTS, in / GROUP, bytes], and the unit of their
    levels, float32 [], a power of two.

    Args:
        codes: uint8 [out, in], below 2 ** bits; in a multiple of GROUP, out of OUTPUTS. bits: 4 or 8.
        step, least: [out, in / GROUP], any float dtype.
    """
    greatest = max(float(least.abs().max()), float(step.abs().max()), torch.finfo(torch.float32).tiny)
    unit = 2.0 ** math.ceil(math.log2(greatest / HIGHEST_LEVEL))
    levels = torch.stack([_by_blocks(step), _by_blocks(least)], dim=2).flatten(2).double() / unit
    quads = codes.unflatten(0, (-1, OUTPUTS)).unflatten(2, (-1, GROUP // 4, 4)).permute(0, 2, 3, 1, 4).flatten(3)
    if bits == 4:
        first, second = quads.chunk(2, dim=2)
        quads = first | second << 4
    packed = torch.cat([levels.to(torch.float16).view(torch.uint8), quads.flatten(2)], dim=2)
    return packed.contiguous(), torch.tensor(unit)


def _by_blocks(levels: Tensor) -> Tensor:
    """[out, groups] to [out / OUTPUTS, groups, OUTPUTS]."""
    return levels.unflatten(0, (-1, OUTPUTS)).transpose(1, 2)


def block_linear(x: Tensor, packed: Tensor, unit: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + bias for a few rows x [t, in] on the CPU; [t, out] in its dtype. A row does not depend on those beside it.

    packed, unit: of `pack_blocks`. Inputs are rounded to 16 bits, with a scale for each GROUP of them.
    """
    from tscli_kernels.cpu import block_products

    inputs = x if x.dtype in (torch.float32, torch.bfloat16) else x.float()
    product = block_products.block_linear(inputs.contiguous(), packed, unit).to(x.dtype)
    return product if bias is None else product + bias
