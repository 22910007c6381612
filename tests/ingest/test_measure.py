"""The estimate of a prefill's time, for models of any head size."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from tests.model import architectures
from tscli.errors import ResourceError
from tscli.ingest import measure, prefill
from tscli.model.selectors import LayerQuery, SketchSelector
from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection
from tscli_kernels import compiled
from tscli_kernels.compiled import use_compiled


@pytest.mark.parametrize("head_dim", [2, 8, 16])
def test_more_tokens_take_longer_at_every_head_size(monkeypatch: pytest.MonkeyPatch, head_dim: int) -> None:
    monkeypatch.setattr(measure, "SCAN_TOKENS", 4096)
    monkeypatch.setitem(architectures.SIZES, "head_dim", head_dim)
    decoder = architectures.make_decoder()
    assert decoder.head_dim == head_dim
    config = SelectionConfig(k=16, n_init=4, n_local=16, chunk=32)
    short, long = (measure.estimate_seconds(decoder, config, [(0, count)]) for count in (1000, 1_000_000))
    assert 0 < short < long


def test_reading_takes_the_compiled_loops_sooner_than_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.zeros(1)
    few, many = compiled.PREFERRED_FROM, compiled.FROM_TOKENS
    assert [use_compiled(keys, n) for n in (few, many - 1, many)] == [False, False, True]
    with compiled.prefer_compiled():
        assert [use_compiled(keys, n) for n in (few - 1, few)] == [False, True]
        with compiled.prefer_compiled():
            assert use_compiled(keys, compiled.PREFERRED_FROM)
    assert not use_compiled(keys, compiled.PREFERRED_FROM)
    tables: list[bool] = []
    monkeypatch.setattr(compiled, "PREFERRED_FROM", 512)
    monkeypatch.setattr(prefill, "SEGMENT_TOKENS", 512)
    selected = SketchSelector.__call__

    def watched(selector: SketchSelector, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
        tables.append(query.state.is_read_compiled)
        return selected(selector, query, local_start)

    monkeypatch.setattr(SketchSelector, "__call__", watched)
    decoder = architectures.make_decoder()
    config = SelectionConfig(k=16, n_init=4, n_local=16, chunk=256)
    state = prefill.prefill_in_memory(decoder, torch.arange(1024) % 50, config)
    assert tables[0] is False
    assert tables[-1] is True
    assert state.is_read_compiled is False


def test_the_sketch_adds_its_share_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SCAN_TOKENS", 4096)
    decoder, config = architectures.make_decoder(), SelectionConfig(k=16, n_init=4, n_local=16, chunk=32)

    def seconds(tokens: int, new: int, *, calibrates: bool = False, config: SelectionConfig = config) -> float:
        return measure.sketch_seconds(decoder, config, tokens, new, dense=False, calibrates=calibrates)

    assert seconds(60_000, 60_000, calibrates=True) == 0
    assert seconds(100_000, 100_000, calibrates=True, config=replace(config, scan="exact")) == 0
    assert 0 < seconds(1_000_000, 1000) < seconds(1_000_000, 1_000_000)
    assert seconds(1_000_000, 1000) < seconds(1_000_000, 1000, calibrates=True)


def test_writing_counts_and_a_disk_that_cannot_be_written_does_not_end_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, config = architectures.make_decoder(), SelectionConfig(k=16, n_init=4, n_local=16, chunk=measure.FEW_TOKENS)
    monkeypatch.setattr(measure, "chunk_seconds", lambda *_: 0.0)  # one chunk, of which the writing is left

    def slow(*_: object) -> None:
        time.sleep(1.0)

    def full(*_: object) -> None:
        raise ResourceError("no space left")

    monkeypatch.setattr(measure, "save_tensors", slow)
    written = measure.estimate_seconds(decoder, config, [(0, measure.FEW_TOKENS)], kv_dtype="int8")
    assert written > 1.0
    monkeypatch.setattr(measure, "save_tensors", full)
    assert 0 < measure.estimate_seconds(decoder, config, [(0, measure.FEW_TOKENS)]) < written
