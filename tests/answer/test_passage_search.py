"""After which candidates a question is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tscli.answer import passage_search
from tscli.answer.passage_search import LEAST_SHARE, search
from tscli.answer.passages import Passage
from tscli.answer.question_reading import PassageReading

A, B, C, D, E = (Passage(start, start + 10, 0, 0) for start in range(0, 50, 10))


def read(
    monkeypatch: pytest.MonkeyPatch, by_heads: list[Passage], by_words: list[Passage], shares: dict[Passage, float]
) -> Any:
    """The passages that a question was read after, and those that were found best."""

    def reading(_decoder: Any, _state: Any, _prompt: Any, _before: Any, passages: list[Passage], *_: Any) -> Any:
        return PassageReading(tuple(passages), tuple(1.0 + shares[one] for one in passages), None)

    monkeypatch.setattr(passage_search, "question_votes", lambda *_: None)
    monkeypatch.setattr(passage_search, "told_apart", lambda *parts: list(parts[2]))
    monkeypatch.setattr(passage_search, "bridged", lambda *parts: list(parts[4]))
    monkeypatch.setattr(passage_search, "read_after_passages", reading)
    words = SimpleNamespace(share=lambda start, end: shares[Passage(start, end, 0, 0)])
    finder = SimpleNamespace(
        first=0,
        words=lambda _: words,
        best=lambda *_: by_heads,
        by_words=lambda *_: by_words,
        with_sentence=lambda passage, _: passage,
        shortlist=lambda *_: torch.arange(0),
    )
    heads = SimpleNamespace(absent_below=0.0, apart=False)
    prompt, state = SimpleNamespace(ids=[1, 2, 3], start=0, stop=3), SimpleNamespace(committed=50)
    parts: Any = (None, state, heads, finder, prompt, torch.arange(0), None, 3)
    return search(*parts)


def test_a_candidate_with_few_of_the_words_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {A: 0.0, B: 0.5 * LEAST_SHARE, C: 0.9 * LEAST_SHARE, D: LEAST_SHARE, E: 1.0}
    found, reading = read(monkeypatch, [A, B, D], [E, C, D], shares)
    assert reading.passages == (A, D, E)  # the heads' first is one in any case
    assert found.passages == (E, D, A)


def test_where_no_candidate_has_any_of_the_words_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _, reading = read(monkeypatch, [A, B, C], [], dict.fromkeys((A, B, C), 0.0))
    assert reading.passages == (A, B, C)


def test_where_nothing_is_found_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found, reading = read(monkeypatch, [], [], {})
    assert reading.passages == ()
    assert not found.answered
