"""Weights in 8 bits beside the full ones, for a few tokens at a time: those that a GGUF file has in blocks of more than 4 bits.

One token reads every weight, so that decoding takes as long as reading them does, and 8 bits are half of 16. Blocks of 5 to 8
bits (Q5_0, Q5_1, Q8_0, Q5_K, Q6_K) hold few levels for 16 or 32 inputs of an output. Those whose step the greatest of 32
weights tells (Q8_0; Q5_0 as llama.cpp makes it) are found again exactly; others move by at most half a 255th of what 16 weights
span, or 32 where they are multiplied in blocks. A matrix that is not made of a file's blocks, as in one of full weights,
stays as it is. Knows tensors and one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from tscli.durable_files import replacing
from tscli.errors import ResourceError
from tscli.model.four_bits import TRIED_FIRST, Packed, packer, read_packed, written
from tscli_kernels import GROUP, HALF_GROUP, MIDDLE, OUTPUTS, pack_blocks, pack_nibbles

FILE = "eight-bits-packed.bin"  # safetensors, under a name that nobody takes for the model's weights
IN_BLOCKS = "eight-bits-blocks.bin"  # likewise
WEIGHTS = "model.safetensors"  # of the same folder, which they are made of
HIGHEST = 255  # code
MAGNITUDES = {16: MIDDLE, 127: MIDDLE - 8}  # steps from 0 to a block's greatest weight: the code of 0
MOST_STEPS = 63  # from a group's least to its greatest weight, in blocks of fewer than 8 bits
ROUNDING = 2.0**-10  # of a group's greatest weight: what float16 made of it and of its step
AT_ONCE = 1 << 22  # weights that are looked at together
TINY = torch.finfo(torch.float32).tiny


def is_of_blocks(weight: Tensor) -> bool:
    """Whether the first outputs of a matrix [out, in] lie on as few levels as blocks of at most 8 bits have."""
    if weight.ndim != 2 or weight.shape[1] % GROUP or weight.shape[0] % OUTPUTS:
        return False
    blocks = weight[:TRIED_FIRST].float().unflatten(1, (-1, GROUP)).flatten(0, 1)
    for steps in MAGNITUDES:
        blocks = blocks[~_fits(blocks, blocks.abs().amax(dim=1, keepdim=True) / steps)]
    groups = blocks.unflatten(1, (-1, HALF_GROUP)).flatten(0, 1)
    for steps in range(MOST_STEPS, 0, -1):
        least, most = groups.amin(dim=1, keepdim=True), groups.amax(dim=1, keepdim=True)
        groups = groups[~_fits(groups, (most - least) / steps, least)]
    return not groups.numel()


def eight_bits_of(weight: Tensor, dtype: torch.dtype, width: int = HALF_GROUP) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix [out, in] as `tscli_kernels.pack_nibbles` takes it: codes uint8 [out, in], step and zero [out, in / width] in
    this dtype, of as many inputs, HALF_GROUP or GROUP."""
    parts = [_codes_of(own.float(), dtype, width) for own in weight.split(max(1, AT_ONCE // weight.shape[1]))]
    codes, step, zero = (torch.cat(part) for part in zip(*parts, strict=True))
    return codes, step, zero


def _codes_of(weight: Tensor, dtype: torch.dtype, width: int) -> tuple[Tensor, Tensor, Tensor]:
    groups = weight.unflatten(1, (-1, GROUP // width, width))  # [out, blocks, groups of a block, width]
    least, most = groups.amin(dim=-1), groups.amax(dim=-1)
    step = (most - least) / HIGHEST
    zero = (most + least) / 2 + (MIDDLE - HIGHEST / 2) * step
    blocks = weight.unflatten(1, (-1, GROUP))
    greatest = blocks.abs().amax(dim=-1, keepdim=True)  # [out, blocks, 1]
    for steps, code_of_zero in MAGNITUDES.items():
        one = greatest / steps
        fits = _fits(blocks, one)[..., None]
        step, zero = torch.where(fits, one, step), torch.where(fits, (MIDDLE - code_of_zero) * one, zero)
    step, zero = step.clamp_min(TINY).to(dtype), zero.to(dtype)
    codes = ((groups - zero.float()[..., None]) / step.float()[..., None]).round_().add_(MIDDLE).clamp_(0, HIGHEST)
    return codes.to(torch.uint8).flatten(1), step.flatten(1), zero.flatten(1)


def _fits(groups: Tensor, step: Tensor, base: Tensor | float = 0.0) -> Tensor:
    """Which groups [..., width] lie on base and multiples of a step, [..., 1] each, up to float16's rounding: bool [...]."""
    steps = (groups - base) / step.clamp_min(TINY)
    off = (steps.round() - steps).abs_().amax(dim=-1) * step[..., 0]
    return off <= ROUNDING * groups.abs().amax(dim=-1)


def packed_eight_bits(weight: Tensor, dtype: torch.dtype, *, in_blocks: bool) -> Packed:
    """A matrix [out, in] in 8 bits, in torch's order for this processor and inputs of this dtype, or in blocks."""
    if in_blocks:
        codes, step, zero = eight_bits_of(weight, torch.float32, GROUP)
        return pack_blocks(codes, step, zero - MIDDLE * step, 8)
    return pack_nibbles(*eight_bits_of(weight, dtype))


def save_eight_bits(packed: Mapping[str, Packed], folder: Path, dtype: torch.dtype, *, in_blocks: bool) -> None:
    """Keep matrices for the next process, as `four_bits.save_packed` does."""
    with suppress(OSError, ResourceError), replacing(folder / (IN_BLOCKS if in_blocks else FILE)) as file:
        file.write(written(packed, _made_by(folder, dtype)))


def load_eight_bits(folder: Path, dtype: torch.dtype, *, in_blocks: bool) -> dict[str, Packed] | None:
    """What `save_eight_bits` kept there, mapped; None where nothing is, or it is of another torch, processor or dtype."""
    return read_packed(folder / (IN_BLOCKS if in_blocks else FILE), _made_by(folder, dtype))


def _made_by(folder: Path, dtype: torch.dtype) -> dict[str, str]:
    """All that packed weights depend on, and what they are of."""
    weights = (folder / WEIGHTS).stat()
    return {**packer(), "dtype": str(dtype), "weights": f"{weights.st_size} bytes of {weights.st_mtime_ns}"}
