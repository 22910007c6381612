"""What only a real GPU can hold or do in time: a million tokens, pools of more than 2^31 elements, chunks of 512 queries."""

from __future__ import annotations

import pytest
import torch

from tscli_kernels import attend_selected, encode_sketch, reference, scan_codes, score_pages, soft_vote, top_k
from tscli_kernels.sketch_codes import code_query, scan_plainly

pytestmark = pytest.mark.gpu
MILLION = 1 << 20
POOL = (40_000, 8, 64, 128)  # 2.6e9 elements, 5.2 GB of bfloat16


def test_a_million_tokens_are_scored_voted_on_and_chosen() -> None:
    draw = torch.Generator("cuda").manual_seed(0)
    pages = torch.randn(MILLION // 64, 4, 64, 128, generator=draw, device="cuda").bfloat16()
    query = torch.randn(28, 128, generator=draw, device="cuda") / 4
    scores = score_pages(query, pages, MILLION)
    keys = pages.transpose(0, 1).flatten(1, 2).double()  # [kv_heads, n, head_dim]
    wanted = (query.double().view(4, 7, 128) @ keys.mT).flatten(0, 1)
    assert torch.linalg.vector_norm(scores - wanted) / torch.linalg.vector_norm(wanted) < 1e-5
    votes = soft_vote(scores)
    torch.testing.assert_close(votes, torch.softmax(scores.double(), dim=-1).sum(0).float(), rtol=1e-4, atol=1e-8)
    for k in (1, 2048, MILLION // 2):
        assert torch.equal(top_k(votes, k).cpu(), top_k(votes.cpu(), k))


def test_a_sketch_of_a_million_tokens_is_scanned() -> None:
    key_codes, query = encode_sketch(torch.randn(4, 32, MILLION, device="cuda")), torch.randn(4, 7, 32, device="cuda")
    torch.testing.assert_close(
        scan_codes(query, key_codes, 0, MILLION), scan_plainly(*code_query(query), key_codes), rtol=0, atol=0
    )


def test_pages_at_the_end_of_a_pool_beyond_32_bits_are_found() -> None:
    pages = torch.zeros(POOL, dtype=torch.bfloat16, device="cuda")
    pages[-2:] = torch.randn(2, *POOL[1:], device="cuda")
    query = torch.randn(32, 128, device="cuda")
    scores = score_pages(query, pages, POOL[0] * 64)
    wanted = reference.score_pages(query.double().cpu(), pages[-2:].double().cpu(), 128)
    assert torch.linalg.vector_norm(scores[:, -128:].cpu() - wanted) / torch.linalg.vector_norm(wanted) < 1e-5
    assert not scores[:, :-128].any()


@pytest.mark.parametrize("t", [1, 512])
def test_a_chunk_attends_to_selected_rows_of_such_a_pool(t: int) -> None:
    pages = [torch.zeros(POOL, dtype=torch.bfloat16, device="cuda") for _ in range(2)]
    for pool in pages:
        pool[-64:] = torch.randn(64, *POOL[1:], device="cuda")
    last = (POOL[0] - 64) * 64
    rows = last + torch.randperm(4096, device="cuda")[:2688].sort().values
    query = torch.randn(32, t, 128, device="cuda").bfloat16()
    key, value = torch.randn(2, 8, t, 128, device="cuda").bfloat16()
    angle = torch.arange(2688 + t, device="cuda")[:, None] * 1e4 ** -(torch.arange(64, device="cuda") / 64)
    cos, sin = (torch.cat([f(angle)] * 2, dim=-1) for f in (torch.cos, torch.sin))
    out, lse = attend_selected(query, *pages, rows, key, value, cos, sin, scaling=128**-0.5)
    exact = [part.double() for part in (query, *(pool[-64:] for pool in pages))]
    rest = [part.double() for part in (key, value, cos, sin)]
    wanted, wanted_lse = reference.attend_selected(*exact, rows - last, *rest, scaling=128**-0.5)
    assert torch.linalg.vector_norm(out - wanted) / torch.linalg.vector_norm(wanted) < 1.5e-2
    torch.testing.assert_close(lse.double(), wanted_lse, rtol=1e-2, atol=1e-2)
