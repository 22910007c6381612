"""Products in which a row's result does not depend on how many rows stand beside it.

On the CPU bfloat16's are so but for a single row, which another kernel takes; those of float32 where each thread has a multiple
of four rows to do (oneMKL 2024.2 and oneDNN, measured for 1 to 216 rows, 30 shapes, one and two threads).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

LEAST_ROWS = 2  # of half precision
ROWS_PER_THREAD = 4  # of others


def rowwise_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + bias for rows x [..., t, in] and a weight [out, in]; [..., t, out].

    On the CPU rows of zeros fill up what other kernels would take; they cost as good as nothing, as the weight is read once.
    """
    count = x.shape[-2]
    if x.device.type != "cpu" or not (lacking := _lacking(count, x.dtype)):
        return linear(x, weight, bias)
    return linear(pad(x, (0, 0, 0, lacking)), weight, bias)[..., :count, :]


def _lacking(count: int, dtype: torch.dtype) -> int:
    """How many rows are to be added to so many."""
    if dtype.itemsize == 2:
        return max(0, LEAST_ROWS - count)
    return -count % (ROWS_PER_THREAD * torch.get_num_threads())
