"""Sums of products of bytes, for two query heads at a time: by the processor's own instruction where it has one (VNNI).

Its unsigned bytes are the keys' and its signed ones the query's, four products to each sum of 32 bits. numba has no name for
it, so that it is written as LLVM has it: sixteen sums at a time in AVX512, eight in AVX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from tscli_kernels.cpu.loops import inlined

UNROLLED = 4  # vectors of tokens, so that the instruction's latency hides
AHEAD = 512  # tokens that are fetched ahead of their use
I32, I64 = ir.IntType(32), ir.IntType(64)
ADDRESSES = (*(types.int64,) * 5, types.int32, types.int32, types.int64)  # what `_each_run` takes


def _lanes() -> int:
    """How many sums an instruction adds to here; 0 where there is none, or where numba compiles for another processor."""
    if numba.config.CPU_NAME and not numba.config.CPU_FEATURES:
        return 0
    has = (numba.config.CPU_FEATURES or get_host_cpu_features()).split(",")
    if "+avx512vnni" in has and "+avx512bw" in has:
        return 16
    return 8 if "+avxvnni" in has else 0


LANES = _lanes()
AT_ONCE = max(1, LANES * UNROLLED)  # a part of WORD
WORD = 64  # tokens, a bit of their marks each


def _each_run(builder: Any, args: Any, then: Callable[[Any, Any], None]) -> None:
    """For each AT_ONCE tokens: the sums of two queries, [2][UNROLLED] vectors in memory, for `then` to take, with the number of
    the first token.

    args: addresses of keys, tokens from one group of four coordinates to the next, groups, addresses of two queries, what their
    sums begin with, runs.
    """
    keys, pitch, groups, query, other, begin, another, runs = args
    vector, byte = ir.VectorType(I32, LANES), ir.IntType(8).as_pointer()
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte] + 3 * [I32]))
    key_pointer, *query_pointers = (builder.inttoptr(address, I32.as_pointer()) for address in (keys, query, other))
    starts = [splat(builder, value) for value in (begin, another)]
    held = [[cgutils.alloca_once(builder, vector) for _ in range(UNROLLED)] for _ in range(2)]
    with cgutils.for_range(builder, runs) as run:
        at = builder.mul(run.index, ir.Constant(I64, AT_ONCE))
        for start, some in zip(starts, held, strict=True):
            for one in some:
                builder.store(start, one)
        with cgutils.for_range(builder, groups) as group:
            first = builder.add(builder.mul(group.index, pitch), at)
            asked = [splat(builder, builder.load(builder.gep(pointer, [group.index]))) for pointer in query_pointers]
            for number in range(UNROLLED):
                soon = builder.gep(key_pointer, [builder.add(first, ir.Constant(I64, AHEAD + number * LANES))])
                builder.call(prefetch, [builder.bitcast(soon, byte), *(ir.Constant(I32, flag) for flag in (0, 3, 1))])
                key = builder.load(_vector_at(builder, key_pointer, first, number), align=4)
                for codes, some in zip(asked, held, strict=True):
                    builder.store(multiply_add(builder, builder.load(some[number]), key, codes), some[number])
        then(at, held)


def multiply_add(builder: Any, sums: Any, unsigned: Any, signed: Any) -> Any:
    """The sums, each with the products of four unsigned and four signed bytes added."""
    vector = ir.VectorType(I32, LANES)
    name = "llvm.x86.avx512.vpdpbusd.512" if LANES == 16 else "llvm.x86.avx512.vpdpbusd.256"
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(vector, [vector] * 3))
    return builder.call(function, [sums, unsigned, signed])


def splat(builder: Any, value: Any) -> Any:
    """A vector of nothing but this value."""
    none = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, none, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def _vector_at(builder: Any, pointer: Any, first: Any, number: int) -> Any:
    place = builder.gep(pointer, [builder.add(first, ir.Constant(I64, number * LANES))])
    return builder.bitcast(place, ir.VectorType(I32, LANES).as_pointer())


@intrinsic
def _write_sums(
    _: Any,
    keys: Any,
    pitch: Any,
    groups: Any,
    query: Any,
    other: Any,
    begin: Any,
    another: Any,
    runs: Any,
    sums: Any,
    second: Any,
) -> Any:
    """As `_each_run` has it; the sums, int32, to two addresses."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = [builder.inttoptr(address, I32.as_pointer()) for address in args[8:]]

        def write(at: Any, held: Any) -> None:
            for pointer, some in zip(pointers, held, strict=True):
                for number, one in enumerate(some):
                    builder.store(builder.load(one), _vector_at(builder, pointer, at, number), align=4)

        _each_run(builder, args[:8], write)
        return context.get_dummy_value()

    return types.void(*ADDRESSES, types.int64, types.int64), generate


@intrinsic
def _mark(
    _: Any, keys: Any, pitch: Any, groups: Any, query: Any, other: Any, begin: Any, another: Any, runs: Any,
    scales: Any, thresholds: Any, marks: Any,
) -> Any:  # fmt: skip
    """As `_each_run` has it; sets the bits of tokens whose sums, times a scale, reach a threshold.

    scales and thresholds: pairs of float32; marks: an address of bits.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scales, thresholds = ([splat(builder, builder.extract_value(pair, i)) for i in range(2)] for pair in args[8:10])
        bits, floats = ir.IntType(LANES), ir.VectorType(ir.FloatType(), LANES)
        marks = builder.inttoptr(args[10], bits.as_pointer())

        def mark(at: Any, held: Any) -> None:
            for number in range(UNROLLED):
                scores = [builder.fmul(builder.sitofp(builder.load(held[i][number]), floats), scales[i]) for i in range(2)]
                reached = builder.or_(*(builder.fcmp_ordered(">=", scores[i], thresholds[i]) for i in range(2)))
                word = builder.add(builder.udiv(at, ir.Constant(I64, LANES)), ir.Constant(I64, number))
                place = builder.gep(marks, [word])
                builder.store(builder.or_(builder.load(place), builder.bitcast(reached, bits)), place)

        _each_run(builder, args[:8], mark)
        return context.get_dummy_value()

    pair = types.UniTuple(types.float32, 2)
    return types.void(*ADDRESSES, pair, pair, types.int64), generate


def _by_instruction(keys, low, high, query, other, begin, another, sums, second):
    """As many of the first tokens as the instruction takes; their number."""
    runs, pitch, at = (high - low) // AT_ONCE, keys.strides[0] // 4, keys.ctypes.data + 4 * low
    _write_sums(
        at, pitch, keys.shape[0], query.ctypes.data, other.ctypes.data, begin, another, runs,
        sums.ctypes.data, second.ctypes.data,
    )  # fmt: skip
    return runs * AT_ONCE


def _marks_by_instruction(keys, low, high, query, other, begin, another, scales, thresholds, marks):
    """As many of the first tokens as the instruction takes; their number, a multiple of WORD."""
    runs, pitch, at = (high - low) // WORD * (WORD // AT_ONCE), keys.strides[0] // 4, keys.ctypes.data + 4 * low
    _mark(
        at, pitch, keys.shape[0], query.ctypes.data, other.ctypes.data, begin, another, runs,
        scales, thresholds, marks.ctypes.data,
    )  # fmt: skip
    return runs * AT_ONCE


def _sums_by_none(keys, low, high, query, other, begin, another, sums, second):
    return 0


def _marks_by_none(keys, low, high, query, other, begin, another, scales, thresholds, marks):
    return 0


_first_sums = inlined(_by_instruction if LANES else _sums_by_none)
_first_marks = inlined(_marks_by_instruction if LANES else _marks_by_none)


@intrinsic
def _key_byte(_: Any, word: Any, number: Any) -> Any:
    """The number-th of four uint8 in an int32, as an int32: numba by itself would go on in 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shift = builder.mul(builder.trunc(args[1], I32), ir.Constant(I32, 8))
        return builder.and_(builder.lshr(args[0], shift), ir.Constant(I32, 255))

    return types.int32(types.int32, types.int64), generate


@intrinsic
def _plus(_: Any, total: Any, one: Any, other: Any) -> Any:
    """total + one * other in 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.add(args[0], builder.mul(args[1], args[2]))

    return types.int32(types.int32, types.int32, types.int32), generate


@inlined
def _query_byte(codes, number):
    """The number-th of four int8 in an int32."""
    return np.int32(np.int8(codes >> np.int32(8 * number)))


@inlined
def add_one_by_one(keys, low, high, query, other, begin, another, first, sums, second):
    """As `add_products` from token `first` on, in what numba knows."""
    some, more = sums[first : high - low], second[first : high - low]
    for i in range(some.shape[0]):
        some[i], more[i] = begin, another
    for group in range(keys.shape[0]):
        q0, q1 = _query_byte(query[group], 0), _query_byte(query[group], 1)
        q2, q3 = _query_byte(query[group], 2), _query_byte(query[group], 3)
        r0, r1 = _query_byte(other[group], 0), _query_byte(other[group], 1)
        r2, r3 = _query_byte(other[group], 2), _query_byte(other[group], 3)
        words = keys[group, low + first : high]
        for i in range(some.shape[0]):
            a, b, c, d = _key_byte(words[i], 0), _key_byte(words[i], 1), _key_byte(words[i], 2), _key_byte(words[i], 3)
            some[i] = _plus(_plus(_plus(_plus(some[i], q0, a), q1, b), q2, c), q3, d)
            more[i] = _plus(_plus(_plus(_plus(more[i], r0, a), r1, b), r2, c), r3, d)


@inlined
def add_products(keys, low, high, query, other, begin, another, sums, second):
    """sums[i] = begin + the products of keys [groups, n] (four uint8 in each int32) at low + i, below high, with a query
    [groups] (four int8); second: of another query, from another beginning. sums and second: int32, at least high - low."""
    done = _first_sums(keys, low, high, query, other, begin, another, sums, second)
    add_one_by_one(keys, low, high, query, other, begin, another, done, sums, second)


@inlined
def mark_one_by_one(keys, low, high, query, other, begin, another, scales, thresholds, marks, first, sums, second):
    """As `mark_reaching` from token `first` on, a multiple of WORD, in what numba knows."""
    add_one_by_one(keys, low, high, query, other, begin, another, first, sums, second)
    one, two, least, another_least = scales[0], scales[1], thresholds[0], thresholds[1]
    for start in range(first, high - low, WORD):
        stop = min(high - low, start + WORD)
        some, more, word = sums[start:stop], second[start:stop], marks[start // WORD]
        for i in range(some.shape[0]):
            reached = (np.float32(some[i]) * one >= least) | (np.float32(more[i]) * two >= another_least)
            word |= np.uint64(reached) << np.uint64(i)
        marks[start // WORD] = word


@inlined
def mark_reaching(keys, low, high, query, other, begin, another, scales, thresholds, marks, sums, second):
    """Set the bit of each token whose sum (`add_products`) of either query, times its scale, reaches its threshold.

    scales, thresholds: pairs of float32; marks: uint64, a bit for each token; sums, second: memory to work in.
    """
    done = _first_marks(keys, low, high, query, other, begin, another, scales, thresholds, marks)
    mark_one_by_one(keys, low, high, query, other, begin, another, scales, thresholds, marks, done, sums, second)
