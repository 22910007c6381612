"""Linear layers by integers of 16 bits: what they give, which numbers come out exactly, and where they are not to be had."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.kernels.test_kernels_against_reference import relative_error
from tests.kernels.test_quantised import DTYPES
from tscli_kernels import pack_two_bytes, reference, two_byte_linear, two_bytes, two_bytes_are_faster

needs_products = pytest.mark.skipif(not two_bytes_are_faster(), reason="this processor multiplies float32 as fast as bytes")


@needs_products
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (1, 1), (63, 1), (2, 7), (512, 1)])
@pytest.mark.parametrize(("width", "out"), [(111, 63), (576, 192), (1, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_it_is_near_the_full_layer(dtype: torch.dtype, shape: tuple[int, ...], width: int, out: int, bias: bool) -> None:
    x = torch.randn(*shape[:-1], width).to(dtype)
    weight, added = torch.randn(out, width).to(dtype), torch.randn(out).to(dtype) if bias else None
    found = two_byte_linear(x, *pack_two_bytes(weight), added)
    assert (found.dtype, found.shape) == (dtype, (*shape[:-1], out))
    by_codes = reference.two_byte_linear(x.reshape(-1, width), weight).reshape(found.shape)
    full = x.double() @ weight.double().T
    exact = dtype == torch.float32
    for wanted, tolerance in ((by_codes, 2e-5 if exact else 4e-3), (full, 2e-3 if exact else 6e-3)):
        assert relative_error(found, wanted + (0 if added is None else added.double())) < tolerance


@needs_products
def test_rows_of_one_number_come_out_as_they_are() -> None:
    """Their codes are the greatest: sums that overflowed 16 bits, or lost their zero, would be far off."""
    signs = torch.tensor([1.0, -1.0, 0.0])
    x, weight = signs[:, None].expand(3, 1000) * 3, signs[:, None].expand(3, 1000) * 0.7
    found, wanted = two_byte_linear(x, *pack_two_bytes(weight)), 2100 * signs[:, None] * signs
    assert torch.allclose(found, wanted, rtol=1e-4, atol=0)


@needs_products
def test_one_large_input_leaves_the_others_their_digits() -> None:
    x, weight = torch.randn(20, 576), torch.randn(64, 576)
    x[:, 5] *= 1000
    weight[:, 5] = 0
    found, wanted = two_byte_linear(x, *pack_two_bytes(weight)), x.double() @ weight.double().T
    assert relative_error(found, wanted) < 5e-2  # in 8 bits nothing would be left of them


@needs_products
def test_a_row_does_not_depend_on_those_it_is_run_with() -> None:
    x, packed = torch.randn(70, 640), pack_two_bytes(torch.randn(200, 640))
    x[3] *= 1e4
    x[5, 7], x[6, 7] = float("nan"), float("inf")
    together = two_byte_linear(x, *packed)
    assert together[5].isnan().all()
    assert not together[6].isfinite().any()
    assert together[[*range(5), *range(7, 70)]].isfinite().all()
    for start, end in ((0, 1), (3, 4), (7, 40), (40, 70), (69, 70)):
        assert torch.equal(two_byte_linear(x[start:end], *packed), together[start:end])


@pytest.mark.parametrize("threads", [1, 2])
@needs_products
def test_threads_change_nothing(threads: int) -> None:
    x, packed, before = torch.randn(130, 640), pack_two_bytes(torch.randn(96, 640)), torch.get_num_threads()
    wanted = two_byte_linear(x, *packed)
    try:
        torch.set_num_threads(threads)
        assert torch.equal(two_byte_linear(x, *packed), wanted)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("fault", ["inexact", "slow", "missing"])
def test_where_the_processor_has_no_such_products_they_are_not_used(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def missing(*_: object) -> torch.Tensor:
        raise RuntimeError("no oneDNN")

    def inexact(x: torch.Tensor, *_: object) -> torch.Tensor:
        return x.new_full((x.shape[0], two_bytes.TRIED[2]), 3.0)

    times = iter(range(1000))
    if fault == "missing":
        monkeypatch.setattr(two_bytes, "pack_two_bytes", missing)
    else:
        weight = torch.full((two_bytes.TRIED[2], two_bytes.TRIED[1]), 1.0)
        monkeypatch.setattr(two_bytes, "pack_two_bytes", lambda _: (weight,))
        multiply = inexact if fault == "inexact" else torch.nn.functional.linear
        monkeypatch.setattr(two_bytes, "two_byte_linear", multiply)
        monkeypatch.setattr(two_bytes, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    assert not two_bytes.two_bytes_are_faster.__wrapped__()
