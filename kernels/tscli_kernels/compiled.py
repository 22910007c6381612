"""When the loops that are compiled for the processor take over from torch's functions."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import torch
from torch import Tensor

FROM_TOKENS = 65_536  # with fewer, loading the loops (half a second of a new process) does not pay for a question
PREFERRED_FROM = 16_384  # for more than a question
DTYPES = (torch.bfloat16, torch.float32, torch.int8, torch.uint8)


@contextlib.contextmanager
def prefer_compiled() -> Iterator[None]:
    """Within it they take over from PREFERRED_FROM tokens on: for work in which their loading is won back."""
    global FROM_TOKENS  # noqa: PLW0603
    before, FROM_TOKENS = FROM_TOKENS, min(FROM_TOKENS, PREFERRED_FROM)
    try:
        yield
    finally:
        FROM_TOKENS = before


def use_compiled(numbers: Tensor, num_tokens: int, *, of_many: bool = False) -> bool:
    """Whether the compiled loops are to take this many tokens' numbers: on the CPU, of a dtype that they know, and many, or
    some of a context that has many."""
    return (
        num_tokens >= (FROM_TOKENS // 16 if of_many else FROM_TOKENS)
        and numbers.device.type == "cpu"
        and numbers.dtype in DTYPES
    )


@functools.cache
def has_byte_products() -> bool:
    """Whether this processor has an instruction for sums of products of bytes (VNNI); asking it loads numba."""
    from tscli_kernels.cpu.byte_products import LANES

    return LANES > 0
