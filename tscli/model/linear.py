"""A linear layer by full weights, by 8-bit or by 4-bit ones, for the Llama decoder and for transformers' modules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from tscli.model.four_bits import Packed
from tscli_kernels import block_linear, int4_linear, int8_linear, nibble_linear, quantise_rows, rowwise_linear

Kind = Literal["int4", "nibbles", "blocks"]


@dataclass(frozen=True)
class Linear:
    """weight: [out, in]; bias: [out] or None; scale: float32 [out] where the weight is int8, else None.
    packed: the same weight where few tokens are multiplied on the CPU, as `kind` says: as `tscli_kernels.int4_linear` takes it,
    or `nibble_linear`, or `block_linear`."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None = None
    packed: Packed | None = None
    kind: Kind = "int4"

    def __call__(self, x: Tensor) -> Tensor:
        """x [..., in] to [..., out], in its dtype."""
        if self.packed is not None:
            multiply = {"int4": int4_linear, "nibbles": nibble_linear, "blocks": block_linear}[self.kind]
            return multiply(x, *self.packed, self.bias)
        if self.scale is None:
            return rowwise_linear(x, self.weight, self.bias)
        return int8_linear(x, self.weight, self.scale, self.bias)

    def to_int8(self) -> Linear:
        """The same by 8-bit weights, a scale per output."""
        codes, scale = quantise_rows(self.weight)
        return Linear(codes, self.bias, scale)

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
        return [part for part in (self.weight, self.bias, self.scale, *(self.packed or ())) if part is not None]


class Int8Linear(nn.Module):
    """Stands in for a model's linear module."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor

    def __init__(self, original: nn.Linear) -> None:
        super().__init__()
        made = Linear(original.weight.detach(), None).to_int8()
        self.register_buffer("weight", made.weight)
        self.register_buffer("scale", made.scale)
        self.register_buffer("bias", None if original.bias is None else original.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return int8_linear(x, self.weight, self.scale, self.bias)


def replace_linears(module: nn.Module) -> None:
    """Put 8-bit ones in the place of all plain linear modules below this one."""
    for path, child in list(module.named_modules()):
        if type(child) is nn.Linear:
            owner, _, name = path.rpartition(".")
            setattr(module.get_submodule(owner), name, Int8Linear(child))
