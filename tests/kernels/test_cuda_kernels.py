"""The Triton kernels against their float64 references: interpreted where there is no GPU (small), on the GPU where there is."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed here (it is for Linux)")

from tscli_kernels import decode_sketch, encode_sketch, quantise_rows, reference
from tscli_kernels.cuda.attending import attend_selected
from tscli_kernels.cuda.scoring import scan_sketch, score_pages
from tscli_kernels.cuda.voting import soft_vote, top_k
from tscli_kernels.sketch_codes import STEP, code_query, scan_plainly

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LARGE = 4001 if DEVICE == "cuda" else 203
SCORES = 1e-5
ATTENTION = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 2e-3}


def relative_error(out: torch.Tensor, expected: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(out.double().cpu() - expected) / torch.linalg.vector_norm(expected))


def paged(
    num_tokens: int, kv_heads: int, page_size: int, head_dim: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pages in random order with slots of NaN behind the last token and in pages of nobody, and the table that orders them."""
    used = -(-num_tokens // page_size)
    pages = torch.full((used + 3, kv_heads, page_size, head_dim), math.nan)
    table = torch.randperm(used + 3)[:used].int()
    for number in range(used):
        filled = min(page_size, num_tokens - number * page_size)
        pages[table[number], :, :filled] = torch.randn(kv_heads, filled, head_dim)
    return pages.to(dtype).to(DEVICE), table.to(DEVICE)


def ordered(pages: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    return pages.cpu()[table.cpu().long()].double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("group", "head_dim", "page_size"), [(1, 16, 16), (4, 64, 64), (7, 80, 24), (16, 128, 64), (3, 256, 16)]
)
def test_scores_and_their_log_sum_exp_come_straight_from_pages_in_any_order(
    group: int, head_dim: int, page_size: int, dtype: torch.dtype
) -> None:
    for num_tokens in (1, page_size - 1, page_size + 1, LARGE):
        pages, table = paged(num_tokens, 2, page_size, head_dim, dtype)
        query = torch.randn(2 * group, head_dim).to(dtype).to(DEVICE)
        room = torch.full((2 * group, num_tokens + 3), math.nan, device=DEVICE)
        scores, lse = score_pages(query, pages, num_tokens, table, out=room[:, 1 : 1 + num_tokens])
        assert int(room.isfinite().sum()) == scores.numel()
        wanted = reference.score_pages(query.double().cpu(), ordered(pages, table), num_tokens)
        assert relative_error(scores, wanted) < SCORES
        torch.testing.assert_close(lse.cpu().double(), torch.logsumexp(wanted, dim=-1), rtol=SCORES, atol=SCORES)


@pytest.mark.parametrize(("group", "head_dim", "page_size"), [(1, 16, 16), (7, 80, 24), (4, 128, 64)])
def test_int8_pages_are_scored_with_their_scales(group: int, head_dim: int, page_size: int) -> None:
    for num_tokens in (1, page_size + 1, LARGE):
        pages, table = paged(num_tokens, 2, page_size, head_dim, torch.float32)
        codes, scale = quantise_rows(pages.nan_to_num(), torch.bfloat16)
        query = torch.randn(2 * group, head_dim).bfloat16().to(DEVICE)
        scores, lse = score_pages(query, codes, num_tokens, table, scale=scale)
        wanted = reference.score_pages(
            query.double().cpu(), reference.expand_rows(ordered(codes, table), ordered(scale, table)), num_tokens
        )
        assert relative_error(scores, wanted) < SCORES
        torch.testing.assert_close(lse.cpu().double(), torch.logsumexp(wanted, dim=-1), rtol=SCORES, atol=SCORES)


@pytest.mark.parametrize(("group", "rank"), [(1, 4), (4, 16), (7, 32), (2, 20)])
def test_the_sketch_is_scanned_like_keys_of_few_coordinates(group: int, rank: int) -> None:
    key_codes = encode_sketch(torch.randn(2, rank, LARGE + 50))  # of which the last are capacity that is not filled yet
    codes, scale = code_query(torch.randn(2, group, rank))
    for start, stop in ((0, LARGE), (7, 130)):
        scores = scan_sketch(codes.to(DEVICE), scale.to(DEVICE), key_codes.to(DEVICE)[:, :, start:stop])
        decoded = codes[..., :rank].double() * (scale.double() / STEP)[..., None]
        wanted = reference.scan_sketch(decoded, decode_sketch(key_codes, rank).double(), stop)[:, start:]
        assert relative_error(scores, wanted) < SCORES
        assert torch.equal(scores.cpu(), scan_plainly(codes, scale, key_codes[:, :, start:stop]))


def test_soft_votes_are_the_references() -> None:
    scores = 5 * torch.randn(7, LARGE)
    scores[2] = -math.inf  # a head that may choose nothing votes for nothing
    scores[3, :50] = -math.inf
    lse = torch.logsumexp(scores, dim=-1)
    votes = soft_vote(scores.to(DEVICE), lse.to(DEVICE))
    assert relative_error(votes, reference.soft_vote(torch.cat([scores[:2], scores[3:]]).double())) < SCORES


def votes(kind: str, n: int) -> torch.Tensor:
    if kind == "constant":
        return torch.full((n,), 0.25)
    if kind == "ties":
        return torch.randint(4, (n,)).float()
    if kind == "infinities":
        vote = torch.randn(n)
        vote[torch.rand(n) < 0.3] = -math.inf
        vote[torch.rand(n) < 0.1] = math.inf
        return vote
    if kind == "low contrast":
        return 1.0 + 1e-7 * torch.randint(8, (n,)).float()
    if kind == "zeros of both signs":
        return torch.where(torch.rand(n) < 0.5, 0.0, -0.0)
    return torch.randn(n)


@pytest.mark.parametrize("kind", ["random", "constant", "ties", "infinities", "low contrast", "zeros of both signs"])
def test_top_k_is_exact_in_ascending_order_and_takes_the_lower_of_equals(kind: str) -> None:
    for n in (1, 63, 1024, 1025, 2 * LARGE):
        for k in {1, max(1, n // 3), n}:
            vote = votes(kind, n)
            found, nan = top_k(vote.to(DEVICE), k)
            assert found.tolist() == reference.top_k(vote, k).tolist(), (n, k)
            assert int(nan) == 0


def test_a_vote_that_is_nan_is_told() -> None:
    vote = torch.randn(3000)
    vote[2900] = math.nan
    assert int(top_k(vote.to(DEVICE), 10)[1]) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("group", "head_dim", "rotary", "t", "before", "softcap"),
    [
        (1, 16, 16, 1, 0, None),
        (4, 64, 64, 1, 37, None),
        (7, 80, 32, 1, 1, 20.0),
        (2, 64, 64, 33, 0, None),
        (7, 96, 96, 37, 45, 30.0),
        (1, 256, 128, 5, 0, None),
    ],
)
def test_attention_over_selected_rows_and_fresh_ones_is_the_references(
    group: int, head_dim: int, rotary: int, t: int, before: int, softcap: float | None, dtype: torch.dtype
) -> None:
    kv_heads, page_size = 2, 16
    for selected in (0, 1, 63, 203 if t > 1 else 700):
        key_pages, table = paged(max(1, 2 * selected), kv_heads, page_size, head_dim, dtype)
        value_pages = torch.where(key_pages.isnan(), key_pages, torch.randn_like(key_pages.float()).to(dtype))
        slots = torch.cat([int(page) * page_size + torch.arange(page_size) for page in table])[: max(1, 2 * selected)]
        rows = slots[torch.randperm(slots.shape[0])[:selected]].sort().values
        query = torch.randn(kv_heads * group, t, head_dim).to(dtype)
        key, value = (torch.randn(kv_heads, before + t, head_dim).to(dtype) for _ in range(2))
        angle = torch.arange(selected + before + t)[:, None] * 1e4 ** -(torch.arange(rotary // 2) / (rotary // 2))
        cos, sin = (torch.cat([f(angle)] * 2, dim=-1) for f in (torch.cos, torch.sin))
        inputs = [x.to(DEVICE) for x in (query, key_pages, value_pages, rows, key, value, cos, sin)]
        out, lse = attend_selected(*inputs, scaling=head_dim**-0.5, softcap=softcap)
        exact = [x.cpu().double() if x.is_floating_point() else x.cpu() for x in inputs]
        wanted, wanted_lse = reference.attend_selected(*exact, scaling=head_dim**-0.5, softcap=softcap)
        assert relative_error(out, wanted) < ATTENTION[dtype]
        torch.testing.assert_close(lse.cpu().double(), wanted_lse, rtol=ATTENTION[dtype], atol=ATTENTION[dtype])
