"""What the compiled loops share: how they are compiled, how numbers are read, and as many threads as torch has.

bfloat16 has no type of its own in numba: such tensors come as their bits, uint16.
"""

from __future__ import annotations

from typing import Any

import numba
import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

# NaN and infinities must stay what they are; sums may be taken in any order.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
# Only what is written as a parallel loop: to make one of every array operation takes the compiler three times as long.
ONLY_LOOPS = {
    "prange": True, "comprehension": False, "fusion": False, "inplace_binop": False, "numpy": False, "reduction": False,
    "setitem": False, "stencil": False,
}  # fmt: skip

numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # torch's own threads, where both use libgomp


def compiled(function: Any) -> Any:
    """Compiled at the first call for its arguments' types, and kept on disk where that can be written: beside this file, or in
    the user's cache folder. Runs without the interpreter's lock."""
    return _kept(function, parallel=ONLY_LOOPS)


def serial(function: Any) -> Any:
    """As `compiled`, of a loop that no threads share."""
    return _kept(function)


def _kept(function: Any, **options: Any) -> Any:
    options |= {"nogil": True, "fastmath": FASTMATH}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # neither can
        return njit(function, **options)


def inlined(function: Any) -> Any:
    """Part of a compiled loop; called from elsewhere it would be compiled anew in every process."""
    return njit(function, fastmath=FASTMATH)


def plain(tensor: Tensor) -> Any:
    """The tensor's memory as a numpy array; bfloat16 as its bits."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def use_torch_threads() -> None:
    """As many threads as torch uses, at most as many as numba starts with. Starting them would give torch as many, too."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@intrinsic
def number(_: Any, bits: Any) -> Any:
    """The float32 that the bits of a bfloat16 stand for, or of an int8's value; a float32 is itself."""
    if bits == types.float32:
        return types.float32(bits), lambda context, builder, signature, args: args[0]

    if bits == types.int8:
        return types.float32(bits), lambda context, builder, signature, args: builder.sitofp(args[0], ir.FloatType())

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = builder.zext(args[0], ir.IntType(32))
        return builder.bitcast(builder.shl(wide, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def power_of_two(_: Any, exponent: Any) -> Any:
    """2 to the power of an int32 from -126 to 127, made of its bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        biased = builder.add(args[0], ir.Constant(ir.IntType(32), 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(ir.IntType(32), 23)), ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def pointer(_: Any, address: Any, like: Any) -> Any:
    """The address (int64) as a pointer to elements like those of an array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.int64, like), generate


@intrinsic
def trailing_zeros(_: Any, word: Any) -> Any:
    """How many of an uint64's lowest bits are 0; undefined of 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def prefetch(_: Any, address: Any) -> Any:
    """Have the cache line at an address (int64) read ahead of its use."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer] + 3 * [flag])
        )
        read, keep, data = ir.Constant(flag, 0), ir.Constant(flag, 3), ir.Constant(flag, 1)
        builder.call(function, [builder.inttoptr(args[0], pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def copy_bytes(_: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy so many bytes from one address (int64) to another; they do not overlap."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(args[0], byte), builder.inttoptr(args[1], byte), args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
