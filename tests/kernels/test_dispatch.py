"""On a GPU the same functions give what they give on the CPU."""

from __future__ import annotations

import pytest
import torch

from tscli_kernels import score_pages, soft_vote, top_k

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_tokens", [1, 1000, 300_000])
def test_scores_votes_and_top_k_are_those_of_the_cpu(num_tokens: int, dtype: torch.dtype) -> None:
    pages = torch.randn(-(-num_tokens // 64), 4, 64, 128).to(dtype)
    query = torch.randn(28, 128) / 8
    scores = score_pages(query, pages, num_tokens)
    on_gpu = score_pages(query.cuda(), pages.cuda(), num_tokens)
    torch.testing.assert_close(on_gpu.cpu(), scores, rtol=1e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-2)
    votes = soft_vote(scores)
    torch.testing.assert_close(soft_vote(scores.cuda()).cpu(), votes, rtol=1e-4, atol=1e-7)
    for k in (1, num_tokens // 3, num_tokens):
        assert torch.equal(top_k(votes.cuda(), k).cpu(), top_k(votes, k))


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top_k(torch.tensor([1.0, float("nan"), 2.0]).cuda(), 1)
