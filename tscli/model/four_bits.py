"""Weights that were 4-bit ones before they were dequantised: found again, kept beside the full ones, used for a few tokens.

A GGUF file's blocks of 4 bits (Q4_0, Q4_1, Q4_K) hold, for 32 inputs of an output, 16 levels: least + step * code. One token
reads every weight, so that decoding takes as long as reading them does, and 4 bits are a quarter of 16. Nothing is rounded that
the file did not round: a matrix of which any group is not on 16 levels stays as it is. Knows tensors and one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tscli.durable_files import replacing
from tscli.errors import ResourceError
from tscli_kernels import GROUP, pack_blocks, pack_int4

FILE = "four-bits.bin"  # safetensors, under a name that nobody takes for the model's weights
PACKED = "four-bits-packed.bin"  # likewise; made again where torch, the processor or the codes are others
IN_BLOCKS = "four-bits-blocks.bin"  # likewise
ORDER = ("codes", "levels")  # of a packed matrix
LEVELS = 16
ROUNDING = 2.0**-9  # of a group's greatest weight: what float16 made of it, its least and its step
TRIED_FIRST = 64  # outputs: most matrices that are not of 4 bits show it there

# A matrix as `tscli_kernels.int4_linear` takes it, its levels in float32, or as `block_linear` does.
Packed = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FourBits:
    """A matrix [out, in] in groups of GROUP inputs: a weight is zero + step * (code - 8).

    codes: uint8 [out, in / 2], the first of two in the lower four bits; step, zero: float32 [out, in / GROUP].
    """

    codes: Tensor
    step: Tensor
    zero: Tensor

    @classmethod
    def stacked(cls, parts: list[FourBits]) -> FourBits:
        """Matrices that read the same input, one above the other."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "step", "zero")))

    def packed(self, *, in_blocks: bool) -> Packed:
        """In torch's order for this processor, or in blocks."""
        unpacked = torch.stack([self.codes & 15, self.codes >> 4], dim=-1).flatten(1)
        if in_blocks:
            return pack_blocks(unpacked, self.step, self.zero - LEVELS // 2 * self.step, 4)
        return pack_int4(unpacked, self.step, self.zero)


def four_bits_of(weight: Tensor) -> FourBits | None:
    """The codes of a matrix [out, in] whose groups are on 16 levels each, up to float16's rounding; None where one is not."""
    if weight.ndim != 2 or weight.shape[1] % GROUP or _codes_of(weight[:TRIED_FIRST]) is None:
        return None
    return _codes_of(weight)


def _codes_of(weight: Tensor) -> FourBits | None:
    groups = weight.float().unflatten(1, (-1, GROUP)).flatten(0, 1)  # [out * in / GROUP, GROUP]
    least, most = groups.aminmax(dim=1)
    allowed = ROUNDING * torch.maximum(least.abs(), most.abs())
    step, codes = torch.zeros_like(least), torch.zeros_like(groups, dtype=torch.uint8)
    left = torch.arange(groups.shape[0])
    for steps in range(LEVELS - 1, 0, -1):  # between the least weight of a group and its greatest
        own, lowest = groups[left], least[left, None]
        one = ((most[left] - least[left]) / steps).clamp_min(torch.finfo(torch.float32).tiny)
        code = ((own - lowest) / one[:, None]).round_()
        fits = (lowest + code * one[:, None] - own).abs_().amax(dim=1) <= allowed[left]
        done = left[fits]
        step[done], codes[done] = one[fits], code[fits].to(torch.uint8)
        left = left[~fits]
        if not left.numel():
            pairs, shape = codes.view(weight.shape[0], -1, 2), (weight.shape[0], -1)
            zero = least + LEVELS // 2 * step
            return FourBits(pairs[..., 0] | pairs[..., 1] << 4, step.view(shape), zero.view(shape))
    return None


def save_four_bits(weights: Mapping[str, Tensor], folder: Path) -> int:
    """Keep the codes of those weights that have any in a file of the folder; how many these are."""
    from safetensors.torch import save_file

    found = {name: made for name, weight in weights.items() if "_proj." in name and (made := four_bits_of(weight)) is not None}
    parts = {f"{name}.{part}": getattr(made, part) for name, made in found.items() for part in ("codes", "step", "zero")}
    if parts:
        save_file({name: part.contiguous() for name, part in parts.items()}, folder / FILE)
    return len(found)


def names_of_four_bits(folder: Path) -> set[str]:
    """The names of the weights of which `save_four_bits` kept codes."""
    from safetensors import safe_open

    if not (folder / FILE).is_file():
        return set()
    with safe_open(folder / FILE, framework="pt") as file:
        return {name.rpartition(".")[0] for name in file.keys()}  # noqa: SIM118 - not a mapping


def load_four_bits(folder: Path) -> dict[str, FourBits]:
    """What `save_four_bits` kept there, by the weights' names; nothing where nothing was."""
    from safetensors.torch import load_file

    if not (folder / FILE).is_file():
        return {}
    parts = load_file(folder / FILE)
    names = {name.rpartition(".")[0] for name in parts}
    return {name: FourBits(parts[f"{name}.codes"], parts[f"{name}.step"], parts[f"{name}.zero"]) for name in names}


def save_packed(packed: Mapping[str, Packed], folder: Path, *, in_blocks: bool) -> None:
    """Keep matrices for the next process, by any names; a folder that cannot be written to makes that one pack them again."""
    with suppress(OSError, ResourceError), replacing(folder / (IN_BLOCKS if in_blocks else PACKED)) as file:
        file.write(written(packed, _made_by(folder)))


def load_packed(folder: Path, *, in_blocks: bool) -> dict[str, Packed] | None:
    """What `save_packed` kept there, mapped; None where nothing is, or it is of another torch, processor or codes."""
    return read_packed(folder / (IN_BLOCKS if in_blocks else PACKED), _made_by(folder))


def written(packed: Mapping[str, Packed], made_by: dict[str, str]) -> bytes:
    """Packed matrices as the content of a file."""
    from safetensors.torch import save

    parts = {f"{name}.{part}": tensor for name, pair in packed.items() for part, tensor in zip(ORDER, pair, strict=True)}
    return save(parts, metadata=made_by)


def read_packed(path: Path, made_by: dict[str, str]) -> dict[str, Packed] | None:
    """What `written` put into a file, mapped; None where there is none, it is not whole, or it was made by something else."""
    from safetensors import SafetensorError, safe_open

    with suppress(OSError, SafetensorError), safe_open(path, framework="pt") as file:
        if file.metadata() == made_by:
            names = {name.rpartition(".")[0] for name in file.keys()}  # noqa: SIM118 - not a mapping
            return {name: tuple(file.get_tensor(f"{name}.{part}") for part in ORDER) for name in names}
    return None


def packer() -> dict[str, str]:
    """What the order of packed codes depends on."""
    return {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability()}


def _made_by(folder: Path) -> dict[str, str]:
    """All that packed codes depend on, and what they are of."""
    codes = (folder / FILE).stat()
    return {**packer(), "codes": f"{codes.st_size} bytes of {codes.st_mtime_ns}"}
