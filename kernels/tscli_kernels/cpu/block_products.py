"""Products of a few rows with weights of 4 or 8 bits, by the processor's own instruction for sums of products of bytes (VNNI).

Its unsigned bytes are the weights' codes, its signed ones the inputs'. An input has 16 bits, in two bytes whose sums are put
together, so that next to nothing is rounded: a weight is read once from memory for all rows, and that takes longer than to
multiply it. Each row is summed up in the same order, whatever rows are beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from tscli_kernels.blocks import HEADER
from tscli_kernels.cpu.byte_products import I32, I64, LANES, multiply_add, splat
from tscli_kernels.cpu.loops import compiled, inlined, number, plain, use_torch_threads
from tscli_kernels.quantised import GROUP, OUTPUTS

ROWS = 4  # that are multiplied at once
HIGHEST = 127 * 256 + 127  # magnitude of an input's code: two signed bytes
FLOAT, HALF = ir.FloatType(), ir.HalfType()


def block_linear(x: Tensor, packed: Tensor, unit: Tensor) -> Tensor:
    """As `blocks.block_linear`, without a bias: x [t, in] float32 or bfloat16; [t, out] float32."""
    use_torch_threads()
    rows, width = x.shape
    padded = -(-rows // ROWS) * ROWS if rows > 2 else rows
    codes = torch.empty(padded, 2, width, dtype=torch.int8)
    levels = torch.empty(2, padded, width // GROUP)  # the numbers of a code, and of all codes of a group together
    out = torch.empty(padded, packed.shape[0] * OUTPUTS)
    _block_linear(plain(x), packed.numpy(), float(unit), codes.numpy(), levels.numpy(), out.numpy())
    return out[:rows]


@compiled
def _block_linear(x, packed, unit, codes, levels, out):
    _encode(x, np.float32(unit), codes, levels)
    blocks, groups, size = packed.shape
    rows, width = out.shape
    wide = np.int64(size > HEADER + OUTPUTS * GROUP // 2)
    for block in prange(blocks):
        weights, row = packed.ctypes.data + block * groups * size, 0
        while row < rows:
            asked, at = codes.ctypes.data + row * codes.strides[0], 4 * row * groups
            step, total = levels.ctypes.data + at, levels.ctypes.data + levels.strides[0] + at
            wanted = out.ctypes.data + 4 * (row * width + block * OUTPUTS)
            if rows - row >= ROWS:
                _four_rows(wide, weights, groups, asked, step, total, wanted, width)
            elif rows - row == 2:
                _two_rows(wide, weights, groups, asked, step, total, wanted, width)
            else:
                _one_row(wide, weights, groups, asked, step, total, wanted, width)
            row += ROWS if rows - row >= ROWS else rows - row


@inlined
def _encode(x, unit, codes, levels):
    """Rows' inputs as codes [rows, 2, in], upper bytes first, and levels [2, rows, groups] for them; what is beyond the rows of
    x is zero."""
    for row in range(codes.shape[0]):
        upper, lower = codes[row, 0], codes[row, 1]
        for group in range(levels.shape[2]):
            first, top, total = group * GROUP, np.float32(0), np.int32(0)
            if row < x.shape[0]:
                for i in range(first, first + GROUP):
                    size = abs(number(x[row, i]))
                    top = top if size <= top or np.isnan(top) else size  # which stays
            per = np.float32(HIGHEST) / top if 0 < top < np.inf else np.float32(0)
            for i in range(first, first + GROUP):
                code = np.int32(np.rint(number(x[row, i]) * per)) if row < x.shape[0] else np.int32(0)
                high = (code + np.int32(128)) >> np.int32(8)
                upper[i], lower[i] = np.int8(high), np.int8(code - (high << np.int32(8)))
                total += code
            step = unit * top / np.float32(HIGHEST)
            levels[0, row, group], levels[1, row, group] = step, step * np.float32(total)


def _of_rows(rows: int) -> Any:
    """What multiplies so many rows with a block of OUTPUTS outputs, of 8 bits where it is wide, else of 4: see `_generate`."""

    @intrinsic
    def multiply(_: Any, wide: Any, weights: Any, groups: Any, codes: Any, step: Any, total: Any, out: Any, pitch: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            is_wide = builder.icmp_signed("!=", args[0], ir.Constant(I64, 0))
            with builder.if_else(is_wide) as (of_eight, of_four):
                with of_eight:
                    _generate(builder, args[1:], rows, 8)
                with of_four:
                    _generate(builder, args[1:], rows, 4)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 8), generate

    return multiply


def _generate(builder: Any, args: Any, rows: int, bits: int) -> None:
    """args: addresses of a block's weights, groups, addresses of the first row's codes, the levels of its codes and of their
    sums, and its outputs, whose rows are so many float32 apart."""
    weights, groups, codes, step, total, out, pitch = args
    quads, size = GROUP // 4, HEADER + OUTPUTS * GROUP * bits // 8
    integers, floats = ir.VectorType(I32, LANES), ir.VectorType(FLOAT, LANES)
    fma = builder.module.declare_intrinsic(f"llvm.fma.v{LANES}f32", (), ir.FunctionType(floats, [floats] * 3))

    def at(address: Any, offset: Any, kind: Any) -> Any:
        place = builder.add(address, offset if isinstance(offset, ir.Value) else ir.Constant(I64, offset))
        return builder.inttoptr(place, kind.as_pointer())

    def loaded(address: Any, offset: Any, kind: Any, align: int) -> Any:
        return builder.load(at(address, offset, kind), align=align)

    def levels(address: Any, offset: int) -> Any:
        return builder.fpext(loaded(address, offset, ir.VectorType(HALF, LANES), 2), floats)

    def codes_of_four(address: Any, first: int) -> list[Any]:
        """The weights' codes, a vector of bytes for each four inputs."""
        each = [loaded(address, HEADER + 4 * (OUTPUTS * quad + first), integers, 4) for quad in range(quads * bits // 8)]
        if bits == 8:
            return each
        low = ir.Constant(integers, [0x0F0F0F0F] * LANES)
        four = ir.Constant(integers, [4] * LANES)
        return [builder.and_(one, low) for one in each] + [builder.and_(builder.lshr(one, four), low) for one in each]

    for first in range(0, OUTPUTS, LANES):
        sums = [cgutils.alloca_once(builder, floats) for _ in range(rows)]
        for one in sums:
            builder.store(ir.Constant(floats, [0.0] * LANES), one)
        with cgutils.for_range(builder, groups) as group:
            block = builder.add(weights, builder.mul(group.index, ir.Constant(I64, size)))
            steps, least = levels(block, 2 * first), levels(block, 2 * (OUTPUTS + first))
            of_four = codes_of_four(block, first)
            for row, held in enumerate(sums):
                place = builder.mul(builder.add(builder.mul(groups, ir.Constant(I64, row)), group.index), ir.Constant(I64, 4))
                # a row's codes are two times `groups` groups
                start = builder.mul(
                    builder.add(builder.mul(groups, ir.Constant(I64, 2 * row)), group.index), ir.Constant(I64, GROUP)
                )
                lower = builder.add(start, builder.mul(groups, ir.Constant(I64, GROUP)))
                found = []
                for half in (start, lower):
                    made = ir.Constant(integers, [0] * LANES)
                    for quad, code in enumerate(of_four):
                        word = loaded(codes, builder.add(half, ir.Constant(I64, 4 * quad)), I32, 4)
                        made = multiply_add(builder, made, code, splat(builder, word))
                    found.append(made)
                whole = builder.add(builder.shl(found[0], ir.Constant(integers, [8] * LANES)), found[1])
                by_step = builder.fmul(steps, splat(builder, loaded(step, place, FLOAT, 4)))
                so_far = builder.call(fma, [builder.sitofp(whole, floats), by_step, builder.load(held)])
                by_total = splat(builder, loaded(total, place, FLOAT, 4))
                builder.store(builder.call(fma, [least, by_total, so_far]), held)
        for row, held in enumerate(sums):
            place = builder.mul(pitch, ir.Constant(I64, 4 * row))
            place = builder.add(place, ir.Constant(I64, 4 * first))
            builder.store(builder.load(held), at(out, place, floats), align=4)


_one_row, _two_rows, _four_rows = (_of_rows(rows) for rows in (1, 2, ROWS))
