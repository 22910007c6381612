"""A linear layer by full weights, by 8-bit or by 4-bit ones, for the Llama decoder and for transformers' modules."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from tscli.model.four_bits import Packed
from tscli_kernels import int4_linear, int8_linear, nibble_linear, quantise_rows, rowwise_linear


@dataclass(frozen=True)
class Linear:
    """weight: [out, in]; bias: [out] or None; scale: float32 [out] where the weight is int8, else None.
    packed: the same weight where few tokens are multiplied on the CPU, in as many bits as `bits` says: in 4 as
    `tscli_kernels.int4_linear` takes it, in 8 as `nibble_linear` does."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None = None
    packed: Packed | None = None
    bits: int = 4

    def __call__(self, x: Tensor) -> Tensor:
        """x [..., in] to [..., out], in its dtype."""
        if self.packed is not None:
            return (int4_linear if self.bits == 4 else nibble_linear)(x, *self.packed, self.bias)
        if self.scale is None:
            return rowwise_linear(x, self.weight, self.bias)
        return int8_linear(x, self.weight, self.scale, self.bias)

    def to_int8(self) -> Linear:
        """The same by 8-bit weights, a scale per output."""
        codes, scale = quantise_rows(self.weight)
        return Linear(codes, self.bias, scale)

    def to_packed(self, packed: Packed, bits: int) -> Linear:
        """The same by its codes, levels in the weight's dtype."""
        return replace(self, packed=packed, bits=bits)

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
