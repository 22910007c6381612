"""What a token takes in a library, and what a question's scan reads of it: the same in the plan, in `info` and in answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import answer, save_voting_model
from tests.store.conftest import FINGERPRINT
from tscli.library.bytes_per_token import BytesPerToken, bytes_per_token
from tscli.model.known import row_bytes
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.store import library_folder
from tscli.store import open_library as open_stored

HEADS = RetrievalHeads(((0, 0), (0, 1), (1, 3)), (0.9, 0.8, 0.7), 2, True, 0.0)  # in two kv heads of two query heads each


@pytest.mark.parametrize(("kv_dtype", "row"), [(None, 32), ("bfloat16", 16), ("int8", 10)])
def test_heads_that_share_a_kv_head_scan_its_keys_once(kv_dtype: str | None, row: int) -> None:
    found = bytes_per_token(replace(FINGERPRINT, kv_dtype=kv_dtype), 5, HEADS, 4)
    assert found == BytesPerToken(2 * 2 * 2 * row, sketch=5, scanned=2 * 10, keys_scanned=2 / 4, head_keys=2 * 10)


def test_heads_whose_keys_are_not_held_once_more_read_the_pages() -> None:
    made = replace(FINGERPRINT, kv_dtype="bfloat16")
    none, both = bytes_per_token(made, None, HEADS, 4, ()), bytes_per_token(made, None, HEADS, 4, ((0, 0), (1, 1)))
    assert (none.scanned, none.head_keys, none.of_other_heads) == (2 * 16, None, False)
    assert (both.scanned, both.head_keys, both.of_other_heads) == (2 * 10, 2 * 10, False)
    one = bytes_per_token(made, None, HEADS, 4, ((0, 0), (0, 1)))
    assert (one.scanned, one.head_keys, one.of_other_heads) == (16 + 10, 2 * 10, True)


def test_what_is_scanned_is_not_told_where_heads_or_model_are_unknown() -> None:
    for heads, q_heads in ((None, 4), (HEADS, None)):
        assert bytes_per_token(FINGERPRINT, None, heads, q_heads) == BytesPerToken(kv=256)


@pytest.mark.parametrize("kv_dtype", ["auto", "int8", "model"])
def test_plan_info_and_answers_say_the_same(
    small_model: Path, tmp_path: Path, write_documents: Callable[..., Path], kv_dtype: str
) -> None:
    load = save_voting_model(small_model, tmp_path / "voting")
    options = tscli.IngestOptions(kv_dtype=kv_dtype)  # type: ignore[arg-type]
    preparation = tscli.prepare([write_documents()], load=load, options=options)
    preparation.run()
    found = tscli.info().bytes_per_token
    assert preparation.plan.bytes_per_token == found
    assert found.sketch is None
    pages = open_stored(library_folder("default")).segments[0]
    parts = (pages.key, pages.value, *(pages.scales or ()))
    slots = pages.key.shape[1] * pages.key.shape[3]
    assert found.kv * slots == sum(part.nbytes for part in parts)
    with tscli.open_library(load=load) as session:
        reading = answer(session).statistics.reading
    assert reading is not None
    assert found.keys_scanned == reading.keys_scanned
    assert (
        found.scanned
        == found.head_keys
        == pages.key.shape[0] * pages.key.shape[2] * reading.keys_scanned * row_bytes(pages.key.shape[4], "int8")
    )


def test_a_sketch_is_counted_by_token(
    small_model: Path, write_documents: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tscli.selection.candidates", "tscli.ingest.sketching"):
        monkeypatch.setattr(f"{module}.SKETCH_FROM", 512)
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    preparation = tscli.prepare([write_documents()], load=load, selection=tscli.SelectionOptions(k=16))
    preparation.run()
    planned, found = preparation.plan.bytes_per_token, tscli.info().bytes_per_token
    assert planned.sketch == 3 * 2 * 16 // 4
    assert found.sketch is not None
    assert found.sketch >= 1
    assert (planned.scanned, found.scanned) == (None, None)  # all heads vote
