"""Which of a model's matrices make answers in 4 or 8 bits: those that its GGUF file has in no more, packed once and kept.

Knows the model's folder and which of its weights each matrix is made of; `four_bits` and `eight_bits` know the codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from tscli.model.eight_bits import WEIGHTS, is_of_blocks, load_eight_bits, packed_eight_bits, save_eight_bits
from tscli.model.four_bits import TRIED_FIRST, FourBits, Packed, load_four_bits, load_packed, names_of_four_bits, save_packed
from tscli.model.gguf_header import OnStep
from tscli_kernels import OUTPUTS

HEAD, EMBEDDING, FIRST_LAYER, PROJECTION = "lm_head.weight", "model.embed_tokens.weight", "model.layers.0.", "_proj.weight"
Sources = Mapping[str, Sequence[str]]  # a matrix's name: the weights that are stacked in it


def stored_bits(folder: Path) -> tuple[int, ...]:
    """In how few bits, 4 and 8, the GGUF file that this folder was made of has weights."""
    from safetensors import safe_open

    four = names_of_four_bits(folder)
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        named = set(file.keys())
        head = HEAD if HEAD in named else EMBEDDING
        tried = [head, *sorted(name for name in named - four if name.startswith(FIRST_LAYER) and name.endswith(PROJECTION))]
        parts = (file.get_slice(name) for name in tried)
        eight = any(part.get_shape()[0] % OUTPUTS == 0 and is_of_blocks(part[:TRIED_FIRST]) for part in parts)
    return (4,) * bool(four) + (8,) * eight


def are_packed(folder: Path, dtype: torch.dtype, *, in_blocks: bool) -> bool:
    """Whether 8-bit weights for inputs of this dtype were packed before and kept."""
    return load_eight_bits(folder, dtype, in_blocks=in_blocks) is not None


def packed_weights(
    folder: Path, bits: Sequence[int], dtype: torch.dtype, sources: Sources, on_step: OnStep | None = None, *, in_blocks: bool
) -> dict[int, dict[str, Packed]]:
    """The matrices that can be had in so few bits, for inputs of this dtype: by bits and name, each once. on_step is told how
    many of their weights are packed, where they were not before. in_blocks: as `tscli_kernels.block_linear` takes them."""
    tell = on_step or (lambda *_: None)
    four = _in_four_bits(folder, sources, tell, in_blocks) if 4 in bits else {}
    found = {4: {name: (codes, levels if in_blocks else levels.to(dtype)) for name, (codes, levels) in four.items()}}
    if 8 in bits:
        left = {name: parts for name, parts in sources.items() if name not in four}
        found[8] = _in_eight_bits(folder, dtype, left, tell, in_blocks)
    return found


def _in_four_bits(folder: Path, sources: Sources, tell: OnStep, in_blocks: bool) -> dict[str, Packed]:
    packed = load_packed(folder, in_blocks=in_blocks)
    if packed is None:
        codes, packed = load_four_bits(folder), {}
        sizes = {name: sum(codes[part].codes.numel() for part in parts if part in codes) for name, parts in sources.items()}
        for name in _told(sizes, "packing weights in 4 bits", tell):
            parts = sources[name]
            own = [codes[part] for part in parts if part in codes]
            if len(own) == len(parts) and sum(one.codes.shape[0] for one in own) % OUTPUTS == 0:
                packed[name] = FourBits.stacked(own).packed(in_blocks=in_blocks)
        save_packed(packed, folder, in_blocks=in_blocks)
    return packed


def _in_eight_bits(folder: Path, dtype: torch.dtype, sources: Sources, tell: OnStep, in_blocks: bool) -> dict[str, Packed]:
    from safetensors import safe_open

    packed = load_eight_bits(folder, dtype, in_blocks=in_blocks)
    if packed is None:
        packed = {}
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            shapes = {name: [file.get_slice(part).get_shape() for part in parts] for name, parts in sources.items()}
            sizes = {name: sum(map(prod, own)) for name, own in shapes.items()}
            for name in _told(sizes, "packing weights in 8 bits", tell):
                own: list[Tensor] = [file.get_tensor(part) for part in sources[name]]
                if all(map(is_of_blocks, own)):
                    packed[name] = packed_eight_bits(torch.cat(own) if len(own) > 1 else own[0], dtype, in_blocks=in_blocks)
        save_eight_bits(packed, folder, dtype, in_blocks=in_blocks)
    return packed


def _told(sizes: Mapping[str, int], text: str, tell: OnStep) -> Iterator[str]:
    """Names in turn; before the first and after each, how much of them all is done by their sizes."""
    done, total = 0, sum(sizes.values())
    tell(text, done, total)
    for name, size in sizes.items():
        yield name
        done += size
        tell(text, done, total)
