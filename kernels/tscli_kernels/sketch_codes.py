"""The sketch's codes of keys: how coordinates are coded, how they are scanned, and which tokens' scores reach a threshold.

A coordinate of a key is a byte, four coordinates of a token lie side by side, and behind them those of the next token: what a
processor multiplies with four bytes of a query and adds up in one instruction. All sums are of integers and exact, so every
implementation gives the same scores, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tscli_kernels.compiled import use_compiled

SIDE_BY_SIDE = 4
ZERO = 128  # the code of 0
STEP = 1 / 24  # between neighbouring codes; a sketch's coordinates have variance 1, so that codes end at 5.3 deviations
MOST = 127  # of a query's codes


def encode_sketch(coordinates: Tensor) -> Tensor:
    """Coordinates [kv_heads, rank, n], float, as codes: uint8 [kv_heads, ceil(rank / 4), n, 4]; what is behind rank is 0."""
    codes = (coordinates / STEP).round_().add_(ZERO).clamp_(ZERO - MOST, ZERO + MOST).to(torch.uint8)
    rest = -codes.shape[1] % SIDE_BY_SIDE
    padded = torch.nn.functional.pad(codes, (0, 0, 0, rest), value=ZERO)
    return padded.unflatten(1, (-1, SIDE_BY_SIDE)).transpose(2, 3).contiguous()


def decode_sketch(key_codes: Tensor, rank: int) -> Tensor:
    """The coordinates that codes stand for: float32 [kv_heads, rank, n]."""
    return key_codes.transpose(2, 3).flatten(1, 2)[:, :rank].float().sub_(ZERO).mul_(STEP)


def code_query(query: Tensor) -> tuple[Tensor, Tensor]:
    """A query's coordinates [kv_heads, group, rank], float, as int8 [kv_heads, group, 4 * ceil(rank / 4)]; and what a sum of
    products of codes is to be multiplied with, float32 [kv_heads, group]."""
    scale = query.abs().amax(dim=-1, keepdim=True) / MOST
    codes = (query / scale.clamp_min(torch.finfo(torch.float32).tiny)).round_().to(torch.int8)
    if rest := -query.shape[2] % SIDE_BY_SIDE:
        codes = torch.nn.functional.pad(codes, (0, rest))
    return codes, scale[..., 0] * STEP


def scan_codes(query: Tensor, key_codes: Tensor, start: int, stop: int) -> Tensor:
    """Dot products of each head's sketch, coded by `code_query`, with those of the keys [start, stop).

    Args:
        query: [kv_heads, group, rank] float32. key_codes: uint8 [kv_heads, ceil(rank / 4), capacity, 4], its last two axes
            contiguous.

    Returns: float32 [kv_heads * group, stop - start].
    """
    codes, scale = code_query(query)
    if key_codes.is_cuda:
        from tscli_kernels.cuda.scoring import scan_sketch

        return scan_sketch(codes, scale, key_codes[:, :, start:stop])
    if use_compiled(key_codes, stop - start, of_many=True):
        from tscli_kernels.cpu import scanning

        return scanning.scan_codes(codes, scale, key_codes, start, stop)
    return scan_plainly(codes, scale, key_codes[:, :, start:stop])


def scan_plainly(codes: Tensor, scale: Tensor, key_codes: Tensor) -> Tensor:
    """The same of all keys, by products of numbers that are integers."""
    keys = key_codes.transpose(2, 3).flatten(1, 2).float().sub_(ZERO)
    return (torch.matmul(codes.float(), keys) * scale[..., None]).flatten(0, 1)


def reaching_codes(query: Tensor, key_codes: Tensor, start: int, stop: int, threshold: Tensor) -> Tensor:
    """Which of the keys [start, stop) reach a threshold in any head, by the scores of `scan_codes`.

    threshold: float32 [kv_heads * group]. Returns int64 [c], ascending, counted from start. No score reaches NaN.
    """
    if use_compiled(key_codes, stop - start):
        from tscli_kernels.cpu import scanning

        return scanning.reaching_codes(*code_query(query), key_codes, start, stop, threshold)
    return reaching(scan_codes(query, key_codes, start, stop), threshold)


def reaching(scores: Tensor, threshold: Tensor) -> Tensor:
    """Where scores [q_heads, n] reach the threshold [q_heads] in any head: int64 [c], ascending."""
    return torch.nonzero((scores >= threshold[:, None]).any(dim=0)).squeeze(1)
