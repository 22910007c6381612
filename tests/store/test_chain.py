from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tscli.store import plan_chain, segment_id

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
