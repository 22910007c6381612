from __future__ import annotations

import torch

from tscli.selection.select import Selection
from tscli.selection.selection_cache import SelectionCache


def selection(position: int) -> Selection:
    return Selection(torch.tensor([position]), torch.ones(1), 10)


def at_angle(degrees: float) -> torch.Tensor:
    radians = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([torch.cos(radians), torch.sin(radians)])[None]


def test_a_similar_query_reuses_and_a_different_one_does_not() -> None:
    cache = SelectionCache(theta=0.9)
    assert cache.lookup(0, at_angle(0)) is None
    first = selection(1)
    cache.remember(0, at_angle(0), first)
    assert cache.lookup(0, at_angle(20)) is first  # cos 20 = .94
    assert cache.lookup(0, at_angle(30)) is None  # cos 30 = .87
    assert cache.lookup(1, at_angle(0)) is None  # another layer


def test_queries_are_compared_with_the_last_reselecting_one_not_the_last_one() -> None:
    cache = SelectionCache(theta=0.9)
    cache.remember(0, at_angle(0), selection(1))
    assert cache.lookup(0, at_angle(20)) is not None
    assert cache.lookup(0, at_angle(40)) is None  # 20 degrees from the last query, 40 from the last reselection
