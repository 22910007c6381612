"""One kv head's keys, scored where they lie, against plain products in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from tscli.model import head_keys
from tscli.model.head_keys import HeadKeys, KeyRun
from tscli_kernels import PAGE_SCALE

LAYERS, KV_HEADS, PAGE, DIM = 2, 3, 4, 8
SIZES = 1, 63, 4, 37  # tokens of the segments


@dataclass(frozen=True)
class Segment:
    key: Tensor
    value: Tensor
    scales: tuple[Tensor, Tensor] | None
    num_tokens: int


def segment(num_tokens: int, is_int8: bool) -> Segment:
    shape = LAYERS, -(-num_tokens // PAGE), KV_HEADS, PAGE
    if not is_int8:
        key = torch.randn(*shape, DIM)
        return Segment(key, key, None, num_tokens)
    key = torch.randint(-127, 128, (*shape, DIM), dtype=torch.int8)
    scale = torch.rand(shape)
    return Segment(key, key, (scale, scale), num_tokens)


def plain(segments: list[Segment], layer: int, kv_head: int, query: Tensor, start: int, stop: int) -> Tensor:
    rows = list[Tensor]()
    for one in segments:
        key = one.key[layer, :, kv_head].double()
        if one.scales is not None:
            key = key * one.scales[0][layer, :, kv_head, :, None].double()
        rows.append(key.flatten(0, 1)[: one.num_tokens])
    return query.double() @ torch.cat(rows)[start:stop].T


@pytest.mark.parametrize("is_int8", [False, True])
@pytest.mark.parametrize("together", [8, 8192])
def test_scores_are_plain_products_whatever_was_scored_before(
    monkeypatch: pytest.MonkeyPatch, is_int8: bool, together: int
) -> None:
    monkeypatch.setattr(head_keys, "SCORED_TOGETHER", together)
    segments = [segment(size, is_int8) for size in SIZES]
    starts = [0, *torch.tensor(SIZES).cumsum(0)[:-1].tolist()]
    keys = HeadKeys(segments, starts, torch.device("cpu"))
    for count, start, stop in ((7, 0, 105), (2, 3, 90), (9, 1, 105), (1, 66, 67)):  # more and fewer, in memory that is kept
        query = torch.randn(count, DIM)
        scores = keys.scores(1, 2, query, start, stop)
        wanted = plain(segments, 1, 2, query, start, stop)
        error = (scores.double() - wanted).norm() / wanted.norm()
        assert scores.shape == wanted.shape
        assert error < 1e-5, (count, start, stop)


@pytest.mark.parametrize("is_int8", [False, True])
@pytest.mark.parametrize("together", [8, 8192])
def test_keys_in_runs_are_read_there_and_all_others_in_the_pages(
    monkeypatch: pytest.MonkeyPatch, is_int8: bool, together: int
) -> None:
    monkeypatch.setattr(head_keys, "SCORED_TOGETHER", together)
    segments, others = ([segment(size, is_int8) for size in SIZES] for _ in range(2))
    starts = [0, *torch.tensor(SIZES).cumsum(0)[:-1].tolist()]
    runs = [run_of(others[:2], 0), run_of(others[3:], 68)]  # other numbers, so that it shows what was read
    keys = HeadKeys(segments, starts, torch.device("cpu"), runs)
    for start, stop in ((0, 105), (3, 90), (63, 64), (63, 69), (64, 68), (104, 105)):
        query = torch.randn(3, DIM)
        for head, held in ((2, [*others[:2], segments[2], others[3]]), (0, segments)):
            wanted = plain(held, 1, head, query, start, stop)
            error = (keys.scores(1, head, query, start, stop).double() - wanted).norm() / wanted.norm()
            assert error < 1e-6


@pytest.mark.parametrize("compiled_from", [0, 1000])
@pytest.mark.parametrize("is_int8", [False, True])
def test_votes_are_softmaxes_of_the_scores_summed_up(
    monkeypatch: pytest.MonkeyPatch, is_int8: bool, compiled_from: int
) -> None:
    monkeypatch.setattr("tscli_kernels.compiled.FROM_TOKENS", compiled_from)
    segments = [segment(size, is_int8) for size in SIZES]
    if is_int8:
        segments = [replace(one, scales=(one.scales[0].to(PAGE_SCALE) / 64,) * 2) for one in segments if one.scales]
    starts = [0, *torch.tensor(SIZES).cumsum(0)[:-1].tolist()]
    keys = HeadKeys(segments, starts, torch.device("cpu"), [run_of(segments[2:], 64)])
    for start, stop in ((0, 105), (3, 90), (64, 65)):
        for num_queries in (1, 5, 40):  # 40: more than are scored at a time
            query, out = torch.randn(3, num_queries, DIM), torch.full((5, stop - start), torch.nan)
            keys.votes(1, 2, query, start, stop, out, [4, 0, 2])
            wanted = torch.stack([plain(segments, 1, 2, part, start, stop).softmax(dim=-1).sum(dim=0) for part in query])
            assert (out[[4, 0, 2]].double() - wanted).norm() / wanted.norm() < 1e-3
            assert out[[1, 3]].isnan().all()


def run_of(segments: list[Segment], start: int) -> KeyRun:
    """Layer 1, kv head 2 of these, one behind the other."""
    key = torch.cat([one.key[1, :, 2].flatten(0, 1)[: one.num_tokens] for one in segments])
    scales = [one.scales[0][1, :, 2].flatten()[: one.num_tokens] for one in segments if one.scales is not None]
    return KeyRun(start, start + key.shape[0], {(1, 2): (key, torch.cat(scales) if scales else None)})
