"""The estimate of a prefill's time, for models of any head size."""

from __future__ import annotations

import pytest

from tests.model import architectures
from tscli.engine import measure
from tscli.selection.config import SelectionConfig


@pytest.mark.parametrize("head_dim", [2, 8, 16])
def test_more_tokens_take_longer_at_every_head_size(monkeypatch: pytest.MonkeyPatch, head_dim: int) -> None:
    monkeypatch.setattr(measure, "SCAN_TOKENS", 4096)
    monkeypatch.setitem(architectures.SIZES, "head_dim", head_dim)
    decoder = architectures.make_decoder()
    assert decoder.head_dim == head_dim
    config = SelectionConfig(k=16, n_init=4, n_local=16, chunk=32)
    short, long = (measure.estimate_seconds(decoder, config, [(0, count)]) for count in (1000, 1_000_000))
    assert 0 < short < long
