"""Linear layers by integers of 16 bits, in two bytes each: for processors that multiply bytes several times as fast as float32.

A number is its row's step times 256 * upper + lower, both bytes signed. Products of bytes are summed exactly, by oneDNN; of the
four of an input and a weight the least, lower times lower, is left out. So three products of bytes take the place of one in
float32, as slices do in the Ozaki scheme (arXiv 2306.11975), and are nearer to it than bfloat16.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

HIGHEST = 127 * 256 + 127  # magnitude of a code
ZERO = 128  # what oneDNN takes off an input's byte, which it wants unsigned
TRIED, TRIALS = (32, 512, 1024), 3  # rows, inputs and outputs of a trial, and how often it is timed


def split_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Upper and lower bytes, uint8 with ZERO for zero, of rows [n, width], and a step for each row, float32 [n, 1].

    A row of zeros has the step 0; a NaN or an infinity makes its row's step that.
    """
    rows = rows.float()
    step = rows.abs().amax(dim=-1, keepdim=True) / HIGHEST
    codes = rows / step.clamp_min(torch.finfo(torch.float32).tiny)
    codes = codes.add_(ZERO * 256 + ZERO + 0.5).to(torch.int32)  # cut off: rounded to the nearest
    return (codes >> 8).to(torch.uint8), codes.to(torch.uint8), step


def pack_two_bytes(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A weight [out, in] as `two_byte_linear` takes it: its upper and lower bytes as oneDNN keeps them, opaque int8 [in, out],
    and a step for each output, float32 [out]."""
    upper, lower, step = split_rows(weight)
    parts = ((part.to(torch.int16) - ZERO).to(torch.int8) for part in (upper, lower))
    packed_upper, packed_lower = (torch.ops.onednn.qlinear_prepack(part, None) for part in parts)
    return packed_upper, packed_lower, step[:, 0].contiguous()


def two_byte_linear(x: Tensor, upper: Tensor, lower: Tensor, step: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + bias; a row does not depend on those beside it.

    Args:
        x: [..., in], any float dtype. upper, lower, step: of `pack_two_bytes`. bias: [out] or None.

    Returns: [..., out] in the dtype of x.
    """
    x_upper, x_lower, sizes = split_rows(x.reshape(-1, x.shape[-1]))
    product = _product(x_lower, upper, step, 256.0)
    _product(x_upper, lower, step, 256.0, product)
    _product(x_upper, upper, step, 65536.0, product)
    product *= sizes
    if bias is not None:
        product += bias
    return product.to(x.dtype).reshape(*x.shape[:-1], -1)


def _product(inputs: Tensor, packed: Tensor, step: Tensor, factor: float, added_to: Tensor | None = None) -> Tensor:
    """factor * (inputs - ZERO) packed * step, float32 [n, out]; or the same added to such."""
    no_zero = torch.zeros(step.shape[0], dtype=torch.int32)
    weights = (inputs, factor, ZERO, packed, step, no_zero)
    plain = (None, 1.0, 0, torch.float32)  # no bias; the result's scale, zero and dtype
    if added_to is None:
        return torch.ops.onednn.qlinear_pointwise(*weights, *plain, "none", [], "")
    return torch.ops.onednn.qlinear_pointwise.binary(*weights, added_to, *plain, 1.0, 0, "sum", 1.0, "none", [], "")


@functools.cache
def two_bytes_are_faster() -> bool:
    """Whether this processor multiplies so faster than in float32, and exactly: it is tried, in a few milliseconds. Without
    instructions for sums of products of bytes (VNNI) sums may overflow 16 bits, or take a hundred times as long."""
    rows, width, outputs = TRIED
    x, weight = torch.full((rows, width), 1.0), torch.full((outputs, width), 1.0)
    try:
        packed = pack_two_bytes(weight)
        exact = all(torch.allclose(two_byte_linear(sign * x, *packed), sign * linear(x, weight), rtol=1e-4) for sign in (1, -1))
    except (RuntimeError, AttributeError):  # a torch without oneDNN
        return False
    return exact and _seconds(lambda: two_byte_linear(x, *packed)) < _seconds(lambda: linear(x, weight))


def _seconds(multiply: Callable[[], Tensor]) -> float:
    """The least that it takes."""
    taken = list[float]()
    for _ in range(TRIALS):
        began = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - began)
    return min(taken)
