"""Has the vector maths library choose its code before several threads call it at once.

oneMKL's vector functions, by which torch computes cos, sin, exp and others of float32 on Intel-like processors, choose their
code at the first call of each. Where two threads make that call together, one of them may compute its part with the code of
lowest accuracy, errors of some thousand units in the last place (pytorch issue 188792; oneMKL 2024.2). A table of rotations
made so stays wrong for as long as the process lives.
"""

from __future__ import annotations

import functools

import torch

FUNCTIONS = ("cos", "sin", "exp", "log", "sqrt", "rsqrt", "tanh", "erf", "expm1", "log1p")


@functools.cache
def settle_vector_maths() -> None:
    """Call each function once on one number, which is done by the thread that asks; only the first time."""
    for dtype in (torch.float32, torch.float64):
        one = torch.ones(1, dtype=dtype)
        for name in FUNCTIONS:
            getattr(torch, name)(one)
