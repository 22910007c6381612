"""The map of an answer: where in each document, and on which pages."""

from __future__ import annotations

import numpy as np
import pytest

from tscli.answer.token_attribution import TokenAttribution
from tscli.evidence.document_map import blocks, map_documents
from tscli.tokens import Context, DocumentTokens


@pytest.fixture
def context() -> Context:
    """Two documents of 40 tokens; the first has four pages of ten, the first token of each belonging to none."""
    document = np.repeat(np.array([0, 1], dtype=np.int32), 40)
    page = np.where(np.arange(80) % 10 == 0, 0, np.where(document == 0, np.arange(80) // 10 + 1, 1)).astype(np.int32)
    documents = (DocumentTokens("a.pdf", "a", "1", 4, True, 0, 40), DocumentTokens("b.txt", "b", "2", 1, False, 40, 80))
    nothing = np.zeros(80, dtype=np.int32)
    return Context(nothing, document, page, nothing, nothing, documents)


def step(**shares: float) -> TokenAttribution:
    positions = np.array([int(name[1:]) for name in shares])
    return TokenAttribution(positions, np.array(list(shares.values()), dtype=np.float32), 0.0, 0.0, 0.0)


def test_shares_fall_into_stretches_and_peaks_are_pages(context: Context) -> None:
    first, second = map_documents([step(t12=0.3, t15=0.1, t38=0.2), step(t12=0.1, t45=0.1, t30=9.0)], context, width=4)
    assert (first.file, second.file) == ("a.pdf", "b.txt")
    assert first.share == pytest.approx(7 / 8)
    assert first.cells == pytest.approx((0, 5 / 8, 0, 2 / 8))
    assert first.peaks == (2, 4)
    assert second.cells == pytest.approx((1 / 8, 0, 0, 0))
    assert second.peaks == ()


def test_nothing_attended_is_no_map(context: Context) -> None:
    assert map_documents([], context, width=4) == []


def test_blocks_rise_with_the_share_and_nothing_is_a_dot() -> None:
    assert blocks((0.0, 0.001, 0.5, 1.0), 1.0) == "·▁▅█"
