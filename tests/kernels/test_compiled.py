"""The loops compiled for the processor against float64 references, on fresh random inputs, odd sizes and infinities."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from numba import njit
from numba.core.codegen import get_host_cpu_features
from torch import Tensor

from tests.kernels.test_kernels_against_reference import GROUPS, relative_error
from tscli.model.rotary import PlainRotary
from tscli_kernels import (
    PAGE_SCALE,
    PageTable,
    attend_turned,
    copy_rows,
    decode_sketch,
    encode_sketch,
    quantise_rows,
    reaching,
    reaching_codes,
    reference,
    scan_codes,
    score_rows,
    score_table,
    soft_vote,
    vote_beside,
)
from tscli_kernels.cpu.byte_products import add_one_by_one, add_products, mark_one_by_one, mark_reaching
from tscli_kernels.sketch_codes import STEP, code_query, scan_plainly

DTYPES = (torch.float32, torch.bfloat16)


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli_kernels.compiled.FROM_TOKENS", 0)


def segments(counts: tuple[int, ...], kv_heads: int, page_size: int, head_dim: int, dtype: torch.dtype) -> list[Tensor]:
    """Pages of so many tokens each, the slots behind the last token NaN."""
    pages = [torch.randn(-(-n // page_size), kv_heads, page_size, head_dim).to(dtype) for n in counts]
    for part, n in zip(pages, counts, strict=True):
        if n % page_size:
            part[-1, :, n % page_size :] = math.nan
    return pages


def table_of(pages: list[Tensor], counts: tuple[int, ...]) -> PageTable:
    [table] = PageTable.of_layers([part[None] for part in pages], counts)
    assert table is not None
    return table


def in_a_row(pages: list[Tensor], counts: tuple[int, ...]) -> Tensor:
    """[1, kv_heads, n, head_dim]: all tokens as one page."""
    return torch.cat([p.transpose(0, 1).flatten(1, 2)[:, :n] for p, n in zip(pages, counts, strict=True)], dim=1)[None]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("counts", "page_size", "head_dim"),
    [((1,), 16, 16), ((64, 64), 64, 64), ((203, 17, 640), 16, 40), ((5000, 33), 64, 128), ((7, 2100, 1), 64, 256)],
)
def test_scores_through_a_table_equal_the_reference(
    counts: tuple[int, ...], page_size: int, head_dim: int, group: int, dtype: torch.dtype
) -> None:
    pages = segments(counts, 3, page_size, head_dim, dtype)
    table, key, total = table_of(pages, counts), in_a_row(pages, counts).double(), sum(counts)
    query = torch.randn(3 * group, head_dim)
    expected = reference.score_pages(query.double(), key, total)
    for stop in {total, 1, max(1, total - 5)}:
        out = torch.full((3 * group, total + 3), math.nan)
        score_table(query, table, stop, out)
        assert relative_error(out[:, :stop], expected[:, :stop]) < 1e-5
        assert bool(out[:, stop:].isnan().all())
    for wanted in (0, 1, 7, 300, total):
        positions = torch.randperm(total)[:wanted].sort().values
        scores = score_rows(query, table, positions)
        assert scores.shape == (3 * group, positions.shape[0])
        if positions.shape[0]:
            assert relative_error(scores, expected[:, positions]) < 1e-5


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_copied_as_they_are_and_what_is_behind_them_is_left(dtype: torch.dtype) -> None:
    counts = (203, 1, 640)
    pages = segments(counts, 3, 16, 40, dtype)
    table, key = table_of(pages, counts), in_a_row(pages, counts)[0]
    for wanted in (0, 1, 7, 300, 844):
        positions = torch.randperm(844)[:wanted].sort().values
        out = torch.zeros(3, wanted + 2, 40, dtype=dtype)
        copy_rows(table, positions, out)
        assert torch.equal(out[:, :wanted], key[:, positions])
        assert not out[:, wanted:].any()


@pytest.mark.parametrize("group", GROUPS)
def test_int8_pages_are_scored_with_their_scales(group: int) -> None:
    counts = (203, 1, 2640)
    pages = [torch.randn(-(-n // 16), 3, 16, 40) for n in counts]
    packed = [quantise_rows(part, PAGE_SCALE) for part in pages]
    [table] = PageTable.of_layers([codes[None] for codes, _ in packed], counts, [scale[None] for _, scale in packed])
    assert table is not None
    key = in_a_row([reference.expand_rows(*part) for part in packed], counts)
    query, positions = torch.randn(3 * group, 40), torch.randperm(2844)[:700].sort().values
    expected = reference.score_pages(query.double(), key, 2844)
    out = torch.empty(3 * group, 2844)
    score_table(query, table, 2844, out)
    assert relative_error(out, expected) < 1e-5
    assert relative_error(score_rows(query, table, positions), expected[:, positions]) < 1e-5


def test_pages_that_the_loops_do_not_know_have_no_table() -> None:
    pages = segments((64, 64), 2, 64, 16, torch.float32)
    assert not PageTable.of_layers([part[None].half() for part in pages], (64, 64))
    assert not PageTable.of_layers([pages[0][None], pages[1][None].bfloat16()], (64, 64))
    assert not PageTable.of_layers([part[None].transpose(2, 3) for part in pages], (64, 64))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("rank", "start", "stop"), [(8, 0, 1), (16, 0, 4096), (16, 5, 9001), (20, 3, 4099), (3, 0, 130), (48, 1, 64)]
)
def test_the_scan_of_a_sketch_equals_the_reference(rank: int, start: int, stop: int, group: int) -> None:
    query, key_codes = torch.randn(2, group, rank), encode_sketch(torch.randn(2, rank, 9100))
    codes, scale = code_query(query)
    decoded = codes[..., :rank].double() * (scale.double() / STEP)[..., None]
    expected = reference.scan_sketch(decoded, decode_sketch(key_codes, rank).double(), 9100)[:, start:stop]
    scores = scan_codes(query, key_codes, start, stop)
    assert relative_error(scores, expected) < 1e-6
    assert torch.equal(scores, scan_plainly(codes, scale, key_codes[:, :, start:stop]))
    threshold = scores.sort(dim=1).values[:, scores.shape[1] * 9 // 10].contiguous()
    assert torch.equal(reaching_codes(query, key_codes, start, stop, threshold), reaching(scores, threshold))


@pytest.mark.parametrize("number", [0, 1, 63, 64, 200])
def test_sums_one_by_one_are_those_of_the_instruction(number: int) -> None:
    keys = torch.randint(256, (5, number, 4), dtype=torch.uint8)
    query, other = (torch.randint(-127, 128, (5, 4), dtype=torch.int8) for _ in range(2))
    found = [np.full(number, 7, np.int32) for _ in range(4)]
    fours = keys.view(torch.int32)[..., 0].numpy()
    codes = [some.view(torch.int32)[:, 0].numpy() for some in (query, other)]
    _products(fours, *codes, -5, 9, *found)
    wanted = [(keys.long() * some.long()[:, None]).sum(dim=(0, 2)) for some in (query, other)]
    for place, (expected, begin) in enumerate(zip(wanted, (-5, 9), strict=True)):
        for sums in found[place::2]:
            assert sums.tolist() == (expected + begin).tolist()
    marks = [np.zeros(4, np.uint64) for _ in range(2)]
    _marks(fours, *codes, -5, 9, (np.float32(0.5), np.float32(2)), (np.float32(100), np.float32(30_000)), *marks, *found[:2])
    reached = ((wanted[0] - 5) * 0.5 >= 100) | ((wanted[1] + 9) * 2.0 >= 30_000)
    for some in marks:
        assert np.unpackbits(some.view(np.uint8), bitorder="little")[:number].tolist() == reached.tolist()
        assert sum(int(word).bit_count() for word in some) == int(reached.sum())


@njit
def _products(keys, query, other, begin, another, sums, second, more, others):  # type: ignore[no-untyped-def]
    add_products(keys, 0, keys.shape[1], query, other, begin, another, sums, second)
    add_one_by_one(keys, 0, keys.shape[1], query, other, begin, another, 0, more, others)


@njit
def _marks(keys, query, other, begin, another, scales, thresholds, marks, more, sums, second):  # type: ignore[no-untyped-def]
    mark_reaching(keys, 0, keys.shape[1], query, other, begin, another, scales, thresholds, marks, sums, second)
    mark_one_by_one(keys, 0, keys.shape[1], query, other, begin, another, scales, thresholds, more, 0, sums, second)


def test_thresholds_of_all_none_and_nan() -> None:
    query, key_codes = torch.randn(2, 3, 16), encode_sketch(torch.randn(2, 16, 5000))
    for threshold, wanted in ((-math.inf, 5000), (math.inf, 0), (math.nan, 0)):
        assert reaching_codes(query, key_codes, 0, 5000, torch.full((6,), threshold)).shape == (wanted,)
    query[0, :, 3] = math.nan
    alone = torch.tensor([-math.inf] * 3 + [math.inf] * 3)  # the first kv head's scores are NaN
    assert reaching_codes(query, key_codes, 0, 5000, alone).shape == (0,)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 8191, 8193, 30_011])
@pytest.mark.parametrize("heads", [1, 4, 28])
@pytest.mark.parametrize("spread", [0.0, 0.01, 5.0, 200.0])
def test_soft_votes_equal_the_reference(n: int, heads: int, spread: float) -> None:
    scores = torch.randn(heads, n) * spread + 1000
    scores[0, n // 2] = -math.inf
    if n == 1:
        scores[0, 0] = 0.0
    votes, expected = soft_vote(scores), reference.soft_vote(scores.double())
    assert relative_error(votes, expected) < 1e-5
    assert float(votes.sum()) == pytest.approx(heads, rel=1e-4)


def test_soft_votes_of_a_part_of_each_row_take_the_loops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(6, 10_007)[:, 128:9_999]
    expected = reference.soft_vote(scores.double())
    monkeypatch.setattr(torch, "exp", None)  # what torch alone would vote by
    assert relative_error(soft_vote(scores), expected) < 1e-5


def test_heads_without_scores_do_not_vote_and_nan_and_infinity_show() -> None:
    scores = torch.randn(3, 9000)
    scores[1] = -math.inf
    torch.testing.assert_close(soft_vote(scores), soft_vote(scores[[0, 2]].contiguous()))
    for bad in (math.nan, math.inf):
        scores[0, 4444] = bad
        assert bool(soft_vote(scores).isnan().any())


@pytest.mark.parametrize("step", [1, 7])
@pytest.mark.parametrize(("n", "m"), [(1, 0), (300, 5000), (7000, 129)])
def test_votes_beside_a_sample_are_those_of_a_softmax_over_both(n: int, m: int, step: int) -> None:
    scores, others = torch.randn(5, n) * 4, torch.randn(5, m) * 4
    others[:, ::3] = -math.inf
    expected = reference.soft_vote(torch.cat([scores, *[others] * step], dim=1).double())[:n]
    assert relative_error(vote_beside(scores, others, step), expected) < 1e-5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("rows", "head_dim", "rotary"), [(1, 16, 16), (511, 64, 64), (513, 40, 24), (2688, 128, 128)])
def test_attention_with_rotation_equals_the_reference(
    rows: int, head_dim: int, rotary: int, group: int, dtype: torch.dtype
) -> None:
    query, key, value = (torch.randn(heads, n, head_dim) for heads, n in ((3 * group, 1), (3, rows), (3, rows)))
    key, value = key.to(dtype), value.to(dtype)
    tables = PlainRotary(rotary, {"rope_theta": 1e4})(query, torch.arange(rows + 5))
    cos, sin = (part.contiguous() for part in tables)
    expected, _ = reference.attend_selected(
        query.double(),
        *(part.double().transpose(0, 1)[:, :, None] for part in (key, value)),  # a page of one slot for each row
        torch.arange(rows - 1),
        *(part[:, -1:].double() for part in (key, value)),
        *(part[:rows].double() for part in (cos, sin)),
        scaling=0.3,
    )
    out = attend_turned(query, key, value, cos, sin, scaling=0.3)
    assert out.shape == (3 * group, 1, head_dim)
    assert relative_error(out, expected) < 1e-5


def test_one_thread_gives_what_two_give() -> None:
    counts = (20_000, 5)
    pages, query = segments(counts, 2, 64, 64, torch.bfloat16), torch.randn(4, 64)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = torch.empty(4, 20_005)
            score_table(query, table_of(pages, counts), 20_005, out)
            found.append((out, soft_vote(out)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_torch_keeps_its_number_of_threads() -> None:
    program = """
import torch
from tscli_kernels.cpu.scanning import scan_codes
torch.set_num_threads(1)
scan_codes(torch.ones(1, 2, 8, dtype=torch.int8), torch.ones(1, 2), torch.ones(1, 2, 9000, 4, dtype=torch.uint8), 0, 9000)
print(torch.get_num_threads())
"""
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout == "1\n"


@pytest.mark.parametrize(("without", "lanes"), [(("avx512vnni",), 8), (("avx512vnni", "avxvnni"), 0)])
def test_other_processors_find_the_same(without: tuple[str, ...], lanes: int) -> None:
    has = get_host_cpu_features()
    if lanes and "+avxvnni" not in has:
        pytest.skip("this processor has no products of bytes in AVX")
    for name in without:
        has = has.replace(f"+{name},", f"-{name},")
    program = """
import torch
from tscli_kernels.cpu import byte_products, scanning
from tscli_kernels.sketch_codes import encode_sketch, code_query, reaching, scan_plainly
key_codes, (codes, scale) = encode_sketch(torch.randn(2, 12, 4300)), code_query(torch.randn(2, 3, 12))
for start, stop in ((0, 4300), (3, 4131), (5, 36), (0, 96), (1, 64)):
    wanted = scan_plainly(codes, scale, key_codes[:, :, start:stop])
    assert torch.equal(scanning.scan_codes(codes, scale, key_codes, start, stop), wanted)
    threshold = wanted.sort(dim=1).values[:, wanted.shape[1] * 3 // 4].contiguous()
    assert torch.equal(scanning.reaching_codes(codes, scale, key_codes, start, stop, threshold), reaching(wanted, threshold))
from tscli_kernels import KeyTable, compiled, reference, vote_on_keys
compiled.FROM_TOKENS = 0
keys, scales = torch.randint(-128, 128, (700, 72), dtype=torch.int8), torch.rand(700).bfloat16() / 64
query = torch.randn(2, 3, 72)
table, votes = KeyTable.of_parts([keys], scales), torch.empty(2, 700)
assert (table is None) == (byte_products.LANES == 0)
if table is not None:
    vote_on_keys(query, table, votes, [0, 1])
    wanted = reference.vote_on_keys(query.double(), keys, scales)
    assert (votes - wanted).norm() < 1e-3 * wanted.norm()
print(byte_products.LANES)
"""
    environment = {**os.environ, "NUMBA_CPU_FEATURES": has, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout) == (0, f"{lanes}\n"), ended.stderr
