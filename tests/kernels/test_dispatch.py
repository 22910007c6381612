"""On a GPU the same functions give what they give on the CPU; on one that is pretended where there is none, and then at few."""

from __future__ import annotations

import pytest
import torch

from tests.pretend_cuda import PretendedCuda
from tscli_kernels import (
    attend,
    attend_causal,
    attend_each,
    attend_selected,
    encode_sketch,
    scan_codes,
    score_pages,
    soft_vote,
    top_k,
)

REAL = torch.cuda.is_available()


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> PretendedCuda | None:
    return None if REAL else request.getfixturevalue("pretended_cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_tokens", [1, 1000, 300_000 if REAL else 3000])
def test_scores_votes_and_top_k_are_those_of_the_cpu(num_tokens: int, dtype: torch.dtype, device: PretendedCuda | None) -> None:
    draw = torch.Generator().manual_seed(num_tokens)
    heads, kv_heads, head_dim = (28, 4, 128) if REAL else (6, 2, 16)
    pages = torch.randn(-(-num_tokens // 64), kv_heads, 64, head_dim, generator=draw).to(dtype)
    query = torch.randn(heads, head_dim, generator=draw) / 8
    scores = score_pages(query, pages, num_tokens)
    on_gpu = score_pages(query.cuda(), pages.cuda(), num_tokens)
    torch.testing.assert_close(on_gpu.cpu(), scores, rtol=1e-4, atol=1e-4)  # a query of float32 keeps its digits
    votes = soft_vote(scores)
    torch.testing.assert_close(soft_vote(scores.cuda()).cpu(), votes, rtol=1e-4, atol=1e-7)
    for k in {1, max(1, num_tokens // 3), num_tokens}:
        assert torch.equal(top_k(votes.cuda(), k).cpu(), top_k(votes, k))
    if device is not None:
        assert device.launches["score_kernel"] == device.launches["vote_kernel"] == 1


def test_the_scan_of_a_sketch_is_that_of_the_cpu(device: PretendedCuda | None) -> None:
    key_codes, query = encode_sketch(torch.randn(2, 12, 700)), torch.randn(2, 3, 12)
    wanted = scan_codes(query, key_codes, 60, 690)
    assert torch.equal(scan_codes(query.cuda(), key_codes.cuda(), 60, 690).cpu(), wanted)  # sums of integers
    assert device is None or device.launches["sketch_kernel"] == 1


@pytest.mark.parametrize("softcap", [None, 20.0])
@pytest.mark.parametrize(("t", "fresh"), [(1, 1), (5, 9)])
def test_attention_over_pages_is_that_of_the_cpu(
    t: int, fresh: int, softcap: float | None, device: PretendedCuda | None
) -> None:
    pages = [torch.randn(5, 2, 16, 32) for _ in range(2)]
    rows = torch.tensor([0, 3, 17, 40, 79])
    query, (key, value) = torch.randn(6, t, 32), torch.randn(2, 2, fresh, 32)
    angle = torch.arange(5 + fresh)[:, None] * 1e4 ** -(torch.arange(8) / 8)
    cos, sin = (torch.cat([f(angle)] * 2, dim=-1) for f in (torch.cos, torch.sin))
    inputs = (query, *pages, rows, key, value, cos, sin)
    wanted = attend_selected(*inputs, scaling=32**-0.5, softcap=softcap)
    found = attend_selected(*(part.cuda() for part in inputs), scaling=32**-0.5, softcap=softcap)
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=1e-4, atol=1e-5)
    assert device is None or device.launches["attend_kernel"] == 1


@pytest.mark.parametrize("kv_heads", [2, 6])
@pytest.mark.parametrize("t", [1, 5])
def test_attention_of_several_sequences_is_that_of_the_cpu(t: int, kv_heads: int, device: PretendedCuda | None) -> None:
    query, (key, value) = torch.randn(3, 6, t, 32), torch.randn(2, 3, kv_heads, 19, 32)
    mask = torch.rand(3, t, 19) < 0.5
    mask[:, :, 0] = True
    added = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    wanted = attend_each(query, key, value, mask=mask, scaling=0.3)
    for one in (mask, added):
        found = attend_each(*(part.cuda() for part in (query, key, value)), mask=one.cuda(), scaling=0.3)
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-4)
    for n in range(3):
        parts = query[n], key[n], value[n]
        found = attend(*(part.cuda() for part in parts), mask=mask[n].cuda(), scaling=0.3)
        torch.testing.assert_close(found.cpu(), wanted[n], rtol=1e-3, atol=1e-4)
        causal = attend_causal(*(part.cuda() for part in parts), scaling=0.3)
        torch.testing.assert_close(causal.cpu(), attend_causal(*parts, scaling=0.3), rtol=1e-3, atol=1e-4)


def test_nan_is_refused() -> None:
    votes = torch.tensor([1.0, float("nan"), 2.0]).cuda()
    assert top_k(votes[::2], 1).tolist() == [1]
    with pytest.raises(ValueError, match="NaN"):
        top_k(votes, 1)


def test_top_k_waits_only_to_hear_of_nan(device: PretendedCuda | None) -> None:
    if device is None:
        pytest.skip("a real GPU does not count copies")
    votes = torch.rand(3000).cuda()
    moved, reads = device.moved, device.reads
    top_k(votes, 7)
    assert (device.moved, device.reads) == (moved, reads + 1)
