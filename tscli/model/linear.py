"""A linear layer by full weights, or by integers of 16, 8 or 4 bits, for the Llama decoder and for transformers' modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from tscli.model.four_bits import Packed
from tscli_kernels import (
    block_linear,
    int4_linear,
    int8_linear,
    nibble_linear,
    pack_two_bytes,
    quantise_rows,
    rowwise_linear,
    two_byte_linear,
)

Kind = Literal["int4", "nibbles", "blocks"]
NARROW = 512  # inputs, outputs: with fewer, products in float32 are as fast as those of 16-bit integers


@dataclass(frozen=True)
class Linear:
    """weight: [out, in]; bias: [out] or None. scale: float32 [out] where the weight is int8, or has 16 bits, in two bytes:
    then it and `lower` are as `tscli_kernels.pack_two_bytes` gives them. packed: the same weight where few tokens are
    multiplied on the CPU, as `kind` says: as `tscli_kernels.int4_linear` takes it, or `nibble_linear`, or `block_linear`."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None = None
    lower: Tensor | None = None
    packed: Packed | None = None
    kind: Kind = "int4"

    def __call__(self, x: Tensor) -> Tensor:
        """x [..., in] to [..., out], in its dtype."""
        if self.packed is not None:
            multiply = {"int4": int4_linear, "nibbles": nibble_linear, "blocks": block_linear}[self.kind]
            return multiply(x, *self.packed, self.bias)
        if self.scale is None:
            return rowwise_linear(x, self.weight, self.bias)
        if self.lower is None:
            return int8_linear(x, self.weight, self.scale, self.bias)
        return two_byte_linear(x, self.weight, self.lower, self.scale, self.bias)

    def to_int8(self) -> Linear:
        """The same by 8-bit weights, a scale per output."""
        codes, scale = quantise_rows(self.weight)
        return Linear(codes, self.bias, scale)

    def to_two_bytes(self) -> Linear:
        """The same full weight by integers of 16 bits; unchanged where that is no faster."""
        if min(self.weight.shape) < NARROW:
            return self
        upper, lower, scale = pack_two_bytes(self.weight)
        return Linear(upper, self.bias, scale, lower)

    def of_outputs(self, which: Tensor) -> Linear:
        """These of its outputs (int64 [m]) alone, by full or 8-bit weights."""
        bias, scale = (None if part is None else part[which] for part in (self.bias, self.scale))
        return Linear(self.weight[which], bias, scale)

    def to_packed(self, packed: Packed, kind: Kind) -> Linear:
        """The same by its codes."""
        return replace(self, packed=packed, kind=kind)

    @property
    def tensors(self) -> list[Tensor]:
        """What it holds."""
        own = (self.weight, self.bias, self.scale, self.lower, *(self.packed or ()))
        return [part for part in own if part is not None]


class OtherLinear(nn.Module):
    """Stands in for a model's linear module."""

    def __init__(self, made: Linear) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Tensor) -> Tensor:
        return self.made(x)


def replace_linears(module: nn.Module, other: Callable[[Linear], Linear]) -> None:
    """Put others in the place of all plain linear modules below this one, where they are others."""
    for path, child in list(module.named_modules()):
        if type(child) is nn.Linear:
            full = Linear(child.weight.detach(), None if child.bias is None else child.bias.detach())
            if (made := other(full)) is not full:
                owner, _, name = path.rpartition(".")
                setattr(module.get_submodule(owner), name, OtherLinear(made))
