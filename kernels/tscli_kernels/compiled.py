"""When the loops that are compiled for the processor take over from torch's functions."""

from __future__ import annotations

import torch
from torch import Tensor

FROM_TOKENS = 65_536  # with fewer, loading the loops (half a second of a new process) is taken not to pay
DTYPES = (torch.bfloat16, torch.float32, torch.int8, torch.uint8)


def pays(numbers: Tensor, num_tokens: int, *, of_many: bool = False) -> bool:
    """Whether the compiled loops are to take this many tokens' numbers: on the CPU, of a dtype that they know, and many, or
    some of a context that has many."""
    return (
        num_tokens >= (FROM_TOKENS // 16 if of_many else FROM_TOKENS)
        and numbers.device.type == "cpu"
        and numbers.dtype in DTYPES
    )
