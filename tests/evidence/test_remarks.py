"""What an answer's reader is told: missing words where the evidence has such, and an unsure model."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tscli.evidence import Evidence, remarks


def answer(confidence: float | None) -> Any:
    return SimpleNamespace(statistics=SimpleNamespace(confidence=confidence))


@pytest.mark.parametrize(
    ("confidence", "missing", "wanted"),
    [
        (None, (), []),
        (0.9, (), []),
        (0.194, (), ["the model is unsure of this answer: its own words were 19% likely in the mean; see the passages"]),
        (0.9, ("airport", "cinema"), ['the documents do not contain "airport" and "cinema"']),
    ],
)
def test_each_doubt_is_one_sentence(confidence: float | None, missing: tuple[str, ...], wanted: list[str]) -> None:
    assert remarks(answer(confidence), replace(Evidence((), ()), missing_words=missing)) == wanted


def test_without_evidence_only_the_model_s_doubt_is_known() -> None:
    assert len(remarks(answer(0.1))) == 1
    assert len(remarks(answer(0.1), Evidence((), (), missing_words=("airport",)))) == 2
