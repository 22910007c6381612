from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tscli.store import plan_chain, plan_independent, segment_id

ids = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=300)


@given(ids, ids)
def test_appending_keeps_the_ids_of_all_full_segments(before: list[int], more: list[int]) -> None:
    short = plan_chain("f", np.array(before, dtype=np.int32), 64)
    long = plan_chain("f", np.array(before + more, dtype=np.int32), 64)
    full = len(before) // 64
    assert short[:full] == long[:full]


@given(ids, st.data())
def test_one_changed_token_changes_its_segment_and_all_after_it(before: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(before) - 1))
    after = list(before)
    after[place] = (after[place] + 1) % 2**31
    one = plan_chain("f", np.array(before, dtype=np.int32), 64)
    other = plan_chain("f", np.array(after, dtype=np.int32), 64)
    assert [a.id == b.id for a, b in zip(one, other, strict=True)] == [n < place // 64 for n in range(len(one))]


@given(ids)
def test_segments_cover_the_tokens_in_one_chain(token_ids: list[int]) -> None:
    planned = plan_chain("f", np.array(token_ids, dtype=np.int32), 64)
    at, parent = 0, None
    for segment in planned:
        assert (segment.start, segment.parent) == (at, parent)
        at, parent = at + segment.num_tokens, segment.id
    assert at == len(token_ids)


def test_the_model_and_its_settings_are_part_of_the_id() -> None:
    token_ids = np.arange(10, dtype=np.int32)
    assert segment_id("one", None, token_ids) != segment_id("two", None, token_ids)
    assert segment_id("one", None, token_ids) != segment_id("one", "before", token_ids)


def test_a_chain_may_continue_behind_another() -> None:
    planned = plan_chain("f", np.arange(100, dtype=np.int32), 64, parent="shared", start=640)
    assert [(s.parent, s.start) for s in planned] == [("shared", 640), (planned[0].id, 704)]


@given(st.lists(st.integers(0, 99), min_size=3, max_size=300), st.data())
def test_independent_documents_share_the_prefix_and_nothing_else(token_ids: list[int], data: st.DataObject) -> None:
    starts = sorted(data.draw(st.sets(st.integers(0, len(token_ids) - 1), min_size=1, max_size=4)))
    tokens = np.array(token_ids, dtype=np.int32)
    planned = plan_independent("f", tokens, starts, 64)
    assert [p.start for p in planned] == [0, *np.cumsum([p.num_tokens for p in planned])[:-1]]
    assert sum(p.num_tokens for p in planned) == len(token_ids)
    prefix = [p for p in planned if p.start < starts[0]]
    for start, stop in zip(starts, [*starts[1:], len(token_ids)], strict=True):
        mine = [p for p in planned if start <= p.start < stop]
        assert mine[0].parent == (prefix[-1].id if prefix else None)
        assert mine[0].behind == starts[0]
        assert [p.parent for p in mine[1:]] == [p.id for p in mine[:-1]]
        alone = plan_independent("f", np.concatenate([tokens[: starts[0]], tokens[start:stop]]), [starts[0]], 64)
        assert [p.id for p in alone[len(prefix) :]] == [p.id for p in mine]
