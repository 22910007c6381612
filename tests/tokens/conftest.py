"""Layouts are tested with instructions in both places and nothing put into the model's mouth, whatever the defaults are."""

from __future__ import annotations

import pytest

from tscli.tokens import template


@pytest.fixture(autouse=True)
def instructions_in_both_places(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("defaults"):
        return
    monkeypatch.setattr(template, "PLACEMENT", "user")
    monkeypatch.setattr(template, "BESIDE", "Answer in a few words, from the text above.")
    monkeypatch.setattr(template, "LEAD", "")
