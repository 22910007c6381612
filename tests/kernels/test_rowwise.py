"""A row's product does not depend on the rows beside it, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from tscli_kernels import rowwise_linear

COUNTS = (1, 2, 3, 4, 5, 7, 9, 15, 17, 31, 33, 64)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(64, 64), (576, 1536), (96, 4864)])
def test_a_row_gets_the_same_bits_beside_any_others(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(7)
    weight = (torch.randn(shape, generator=draw) / 16).to(dtype)
    bias = torch.randn(shape[0], generator=draw).to(dtype)
    rows = torch.randn(max(COUNTS), shape[1], generator=draw).to(dtype)
    alone = torch.cat([rowwise_linear(row[None], weight, bias) for row in rows])
    for count in COUNTS:
        assert torch.equal(rowwise_linear(rows[:count], weight, bias), alone[:count])
        assert torch.equal(rowwise_linear(rows[-count:], weight, bias), alone[-count:])


@pytest.mark.parametrize("count", [1, 3, 8])
def test_it_is_the_product(count: int) -> None:
    rows, weight = torch.randn(2, count, 32), torch.randn(16, 32)
    found = rowwise_linear(rows, weight)
    assert found.shape == (2, count, 16)
    torch.testing.assert_close(found, linear(rows, weight))
