"""When the loops that are compiled for the processor take over from torch's functions."""

from __future__ import annotations

import torch
from torch import Tensor

FROM_TOKENS = 16_384  # below, both take less than a millisecond, and there is nothing to load
DTYPES = (torch.bfloat16, torch.float32, torch.int8)


def pays(numbers: Tensor, num_tokens: int) -> bool:
    """Whether the compiled loops are to take this many tokens' numbers: on the CPU, of a dtype that they know, and many."""
    return num_tokens >= FROM_TOKENS and numbers.device.type == "cpu" and numbers.dtype in DTYPES
