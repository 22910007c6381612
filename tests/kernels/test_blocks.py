"""Products of weights in blocks against the float64 reference, on fresh random inputs and odd sizes."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from numba.core.codegen import get_host_cpu_features
from torch import Tensor

from tests.kernels.test_kernels_against_reference import relative_error
from tscli_kernels import block_linear, has_byte_products, pack_blocks, reference

pytestmark = pytest.mark.skipif(not has_byte_products(), reason="this processor has no sums of products of bytes (VNNI)")
SIZES = [(1, 16, 32), (2, 48, 224), (3, 208, 896), (4, 1040, 4864), (5, 96, 64), (7, 16, 160), (17, 64, 96)]


def some_weights(out: int, width: int, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, and levels that float16 has."""
    codes = torch.randint(0, 2**bits, (out, width), dtype=torch.uint8)
    step, least = torch.rand(out, width // 32) / 2 ** (bits + 2), torch.randn(out, width // 32) / 50
    return codes, step.half().float(), least.half().float()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("t", "out", "width"), SIZES)
def test_products_are_those_of_the_weights_numbers(
    t: int, out: int, width: int, dtype: torch.dtype, biased: bool, bits: int
) -> None:
    weights = some_weights(out, width, bits)
    x, bias = torch.randn(t, width).to(dtype), torch.randn(out).to(dtype) if biased else None
    found = block_linear(x, *pack_blocks(*weights, bits), bias)
    wanted = reference.block_linear(x, *weights) + (0 if bias is None else bias.double())
    assert found.dtype == dtype
    assert relative_error(found, wanted) < {torch.float32: 1e-4, torch.bfloat16: 1e-2, torch.float16: 1e-3}[dtype]


@pytest.mark.parametrize("bits", [4, 8])
def test_a_row_gets_bit_for_bit_what_it_gets_alone(bits: int) -> None:
    packed, x = pack_blocks(*some_weights(80, 192, bits), bits), torch.randn(11, 192)
    alone = torch.cat([block_linear(row[None], *packed) for row in x])
    assert all(torch.equal(block_linear(x[:count], *packed), alone[:count]) for count in range(1, 12))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_levels_far_from_one_keep_their_digits(bits: int, scale: float) -> None:
    codes, step, least = some_weights(32, 64, bits)
    x = torch.randn(3, 64)
    found = block_linear(x, *pack_blocks(codes, step * scale, least * scale, bits))
    assert relative_error(found, reference.block_linear(x, codes, step * scale, least * scale)) < 1e-3


def test_groups_of_inputs_have_scales_of_their_own_and_zeros_give_zeros() -> None:
    codes, step, least = some_weights(16, 96, 8)
    x = torch.randn(2, 96)
    x[:, :32], x[:, 32:64] = 1e-6 * x[:, :32], 0.0
    least[:, 2], step[:, 2] = 0.0, 0.0
    assert (
        relative_error(block_linear(x, *pack_blocks(codes, step, least, 8)), reference.block_linear(x, codes, step, least))
        < 1e-4
    )
    assert torch.equal(block_linear(torch.zeros(3, 96), *pack_blocks(codes, step, least, 8)), torch.zeros(3, 16))
    assert torch.equal(block_linear(x, *pack_blocks(codes, step * 0, least * 0, 8)), torch.zeros(2, 16))


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_does_not_pass_for_one(broken: float) -> None:
    packed, x = pack_blocks(*some_weights(16, 64, 8), 8), torch.randn(2, 64)
    whole = block_linear(x, *packed)
    x[1, 40] = broken
    found = block_linear(x, *packed)
    assert torch.equal(found[0], whole[0])
    assert not found[1].isfinite().any()


def test_a_processor_whose_vectors_are_half_as_long_finds_the_same() -> None:
    has = get_host_cpu_features()
    if "+avxvnni" not in has or "+avx512vnni" not in has:
        pytest.skip("this processor has not both")
    program = """
import sys, torch
from tscli_kernels import block_linear, pack_blocks
from tscli_kernels.cpu.byte_products import LANES
torch.manual_seed(3)
for bits in (4, 8):
    packed = pack_blocks(torch.randint(0, 2**bits, (48, 96), dtype=torch.uint8), torch.rand(48, 3), torch.randn(48, 3), bits)
    for rows in (1, 2, 7):
        sys.stdout.buffer.write(block_linear(torch.randn(rows, 96), *packed).numpy().tobytes())
print(LANES, file=sys.stderr)
"""
    found = {}
    for features in (has, has.replace("+avx512vnni,", "-avx512vnni,")):
        environment = {**os.environ, "NUMBA_CPU_FEATURES": features, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
        found[ended.stderr.decode().split()[-1]] = ended.stdout
    assert set(found) == {"16", "8"}
    assert found["16"] == found["8"]
