"""One kv head's keys, scored where they lie on a GPU, against float64; on a GPU that is pretended where there is none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed here (it is for Linux)")

from tests.pretend_cuda import PretendedCuda
from tscli_kernels import GpuPageTable, quantise_rows, reference, score_head

REAL = torch.cuda.is_available()
LAYERS, PAGE = 2, 16
COUNTS = (1, 63, 16, 203, 5, 4001) if REAL else (1, 63, 16, 203, 5)  # tokens of the segments
SCORES = 1e-5
PARTED = 2e-5  # of a query that is multiplied as two numbers of 8 binary digits each


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> PretendedCuda | None:
    return None if REAL else request.getfixturevalue("pretended_cuda")


class Stored:
    """Segments' pages on the GPU, with slots of NaN behind each segment's last token, and the same numbers in float64."""

    def __init__(self, kv_heads: int, head_dim: int, dtype: torch.dtype) -> None:
        self.exact, keys, scales = list[Tensor](), list[Tensor](), list[Tensor]()
        for count in COUNTS:
            used = -(-count // PAGE)
            rows = torch.full((LAYERS, used * PAGE, kv_heads, head_dim), math.nan)
            rows[:, :count] = torch.randn(LAYERS, count, kv_heads, head_dim)
            pages = rows.unflatten(1, (used, PAGE)).transpose(2, 3).contiguous()
            if dtype == torch.int8:
                codes, scale = quantise_rows(pages, torch.bfloat16)
                self.exact.append(reference.expand_rows(codes, scale))
                keys.append(codes.cuda())
                scales.append(scale.cuda())
            else:
                self.exact.append(pages.to(dtype).double())
                keys.append(pages.to(dtype).cuda())
        self.table = GpuPageTable.of_segments(keys, COUNTS, scales)

    def error(self, query: Tensor, layer: int, kv_head: int, start: int, stop: int) -> float:
        """The relative error of all scores."""
        assert self.table is not None
        out = torch.full((query.shape[0], stop - start), math.nan).cuda()
        score_head(query.cuda(), self.table, layer, kv_head, start, out)
        segments = [(pages[layer], count) for pages, count in zip(self.exact, COUNTS, strict=True)]
        wanted = reference.score_head(query.double(), segments, kv_head, start, stop)
        return float((out.cpu().double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int8])
@pytest.mark.parametrize(("kv_heads", "head_dim"), [(1, 64), (3, 64), (2, 128), (1, 80), (1, 256)])
def test_scores_are_the_references_from_any_position_of_any_segment(kv_heads: int, head_dim: int, dtype: torch.dtype) -> None:
    stored = Stored(kv_heads, head_dim, dtype)
    total = sum(COUNTS)
    limit = SCORES if dtype in (torch.float32, torch.float16) else PARTED
    for t, start, stop in ((1, 0, total), (3, 7, total - 3), (17, 64, 81), (32, 1, total), (45, 70, 120)):
        query = torch.randn(t, head_dim)
        assert stored.error(query, 1, kv_heads - 1, start, stop) < limit, (t, start, stop)


@pytest.mark.parametrize("group", [1, 3, 4, 7])
def test_queries_of_a_group_of_heads_are_scored_together(group: int, device: PretendedCuda | None) -> None:
    stored = Stored(2, 64, torch.bfloat16)
    query = torch.randn(group * 4, 64).bfloat16()  # 4 tokens of each head
    assert stored.error(query, 0, 1, 3, 250) < SCORES
    assert device is None or device.launches == {"score_head_kernel": 1}


def test_a_scan_moves_nothing_between_the_devices_and_waits_for_nothing(device: PretendedCuda | None) -> None:
    if device is None:
        pytest.skip("a real GPU does not count copies")
    table, query, out = Stored(2, 64, torch.int8).table, torch.randn(3, 64).cuda(), torch.empty(3, 100).cuda()
    assert table is not None
    moved, reads = device.moved, device.reads
    score_head(query, table, 1, 0, 10, out)
    assert (device.moved, device.reads) == (moved, reads)


def test_no_table_where_pages_lie_elsewhere_or_not_alike() -> None:
    key = torch.randn(LAYERS, 3, 2, PAGE, 64)
    there = key.cuda()
    others = [key, there.bfloat16(), there[:, :, :1].contiguous(), there.transpose(3, 4)]
    for other in others:
        assert GpuPageTable.of_segments([there, other], [40, 40]) is None
    assert GpuPageTable.of_segments([], []) is None
    assert GpuPageTable.of_segments([there.to(torch.int8)], [40]) is None
    assert GpuPageTable.of_segments([key[..., :3].contiguous().cuda()], [40]) is not None
    assert GpuPageTable.of_segments([key[..., :5, :3].contiguous().cuda()], [14]) is None  # rows that begin anywhere
