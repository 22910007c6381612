"""Sums of products of bytes, for two query heads at a time: by the processor's own instruction where it has one (VNNI).

Its unsigned bytes are the keys' and its signed ones the query's, four products to each sum of 32 bits. numba has no name for
it, so that it is written as LLVM has it: sixteen sums at a time in AVX512, eight in AVX.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tscli_kernels.cpu.loops import inlined

UNROLLED = 4  # vectors of tokens, so that the instruction's latency hides
AHEAD = 512  # tokens that are fetched ahead of their use
I32, I64 = ir.IntType(32), ir.IntType(64)


def _lanes() -> int:
    """How many sums an instruction adds to here; 0 where there is none, or where numba compiles for another processor."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES:
        return 0
    has = binding.get_host_cpu_features()
    if has.get("avx512vnni") and has.get("avx512bw"):
        return 16
    return 8 if has.get("avxvnni") else 0


LANES = _lanes()
AT_ONCE = max(1, LANES * UNROLLED)


def _splat(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    none = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, none, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


@intrinsic
def _vnni(
    _: Any,
    keys: Any,
    pitch: Any,
    groups: Any,
    query: Any,
    other: Any,
    begin: Any,
    another: Any,
    sums: Any,
    second: Any,
    runs: Any,
) -> Any:
    """Addresses and counts, int64; begin and another int32. groups: of four coordinates, pitch tokens from one to the next.
    Writes `runs` times AT_ONCE int32 to sums (of `query`) and second (of `other`)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        keys, pitch, groups, query, other, begin, another, sums, second, runs = args
        vector = ir.VectorType(I32, LANES)
        name = "llvm.x86.avx512.vpdpbusd.512" if LANES == 16 else "llvm.x86.avx512.vpdpbusd.256"
        multiply_add = builder.module.declare_intrinsic(name, (), ir.FunctionType(vector, [vector] * 3))
        byte = ir.IntType(8).as_pointer()
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte] + 3 * [I32]))
        pointers = [builder.inttoptr(address, I32.as_pointer()) for address in (keys, query, other, sums, second)]
        key_pointer, query_pointers, out_pointers = pointers[0], pointers[1:3], pointers[3:]
        starts = [_splat(builder, value, vector) for value in (begin, another)]
        held = [[cgutils.alloca_once(builder, vector) for _ in range(UNROLLED)] for _ in range(2)]

        def place(pointer: Any, first: Any, number: int) -> Any:
            return builder.bitcast(
                builder.gep(pointer, [builder.add(first, ir.Constant(I64, number * LANES))]), vector.as_pointer()
            )

        with cgutils.for_range(builder, runs) as run:
            at = builder.mul(run.index, ir.Constant(I64, AT_ONCE))
            for start, some in zip(starts, held, strict=True):
                for one in some:
                    builder.store(start, one)
            with cgutils.for_range(builder, groups) as group:
                first = builder.add(builder.mul(group.index, pitch), at)
                asked = [_splat(builder, builder.load(builder.gep(p, [group.index])), vector) for p in query_pointers]
                for number in range(UNROLLED):
                    soon = builder.gep(key_pointer, [builder.add(first, ir.Constant(I64, AHEAD + number * LANES))])
                    builder.call(prefetch, [builder.bitcast(soon, byte), *(ir.Constant(I32, flag) for flag in (0, 3, 1))])
                    key = builder.load(place(key_pointer, first, number), align=4)
                    for codes, some in zip(asked, held, strict=True):
                        builder.store(builder.call(multiply_add, [builder.load(some[number]), key, codes]), some[number])
            for pointer, some in zip(out_pointers, held, strict=True):
                for number, one in enumerate(some):
                    builder.store(builder.load(one), place(pointer, at, number), align=4)
        return context.get_dummy_value()

    i64, i32 = types.int64, types.int32
    return types.void(i64, i64, i64, i64, i64, i32, i32, i64, i64, i64), generate


def _by_instruction(keys, query, other, begin, another, sums, second):
    """As many of the first tokens as the instruction takes; their number."""
    runs = keys.shape[1] // AT_ONCE
    pitch, groups = keys.strides[0] // 4, keys.shape[0]
    keys_at, query_at, other_at = keys.ctypes.data, query.ctypes.data, other.ctypes.data
    _vnni(keys_at, pitch, groups, query_at, other_at, begin, another, sums.ctypes.data, second.ctypes.data, runs)
    return runs * AT_ONCE


def _by_none(keys, query, other, begin, another, sums, second):
    return 0


_first_tokens = inlined(_by_instruction if LANES else _by_none)


@inlined
def _byte(codes, number):
    """The number-th of four int8 in an int32."""
    return np.int32(np.int32(codes << np.int32(24 - 8 * number)) >> np.int32(24))


@inlined
def add_one_by_one(keys, query, other, begin, another, first, sums, second):
    """As `add_products` from token `first` on, in what numba knows."""
    for i in range(first, keys.shape[1]):
        sums[i], second[i] = begin, another
    for group in range(keys.shape[0]):
        q0, q1, q2, q3 = _byte(query[group], 0), _byte(query[group], 1), _byte(query[group], 2), _byte(query[group], 3)
        r0, r1, r2, r3 = _byte(other[group], 0), _byte(other[group], 1), _byte(other[group], 2), _byte(other[group], 3)
        for i in range(first, keys.shape[1]):
            a, b = np.int32(keys[group, i, 0]), np.int32(keys[group, i, 1])
            c, d = np.int32(keys[group, i, 2]), np.int32(keys[group, i, 3])
            sums[i] += q0 * a + q1 * b + q2 * c + q3 * d
            second[i] += r0 * a + r1 * b + r2 * c + r3 * d


@inlined
def add_products(keys, query, other, begin, another, sums, second):
    """sums[i] = begin + the products of keys [groups, n, 4] (uint8) at i with a query [groups] (four int8 in each int32);
    second: of another query, from another beginning. sums and second: int32, at least n."""
    done = _first_tokens(keys, query, other, begin, another, sums, second)
    add_one_by_one(keys, query, other, begin, another, done, sums, second)
