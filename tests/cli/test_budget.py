"""Too many tokens: the plan is shown all the same, the largest first, with what to leave out."""

from __future__ import annotations

import json

import pytest

import tscli
from tscli.cli.app import run
from tscli.documents import Failure
from tscli.errors import OverBudget


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> OverBudget:
    error = OverBudget([("docs/b.txt", 1, 300), ("docs/a.pdf", 9, 500), ("docs/c.txt", 1, 250)], 1050, 800)
    error.failures = (Failure("docs/x.zip", "is a zip archive"),)

    def prepare(*_: object) -> None:
        raise error

    monkeypatch.setattr(tscli, "prepare", prepare, raising=False)
    return error


def test_the_plan_is_shown_with_the_largest_first_and_what_to_leave_out(
    over: OverBudget, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ingest", "docs"]) == 2
    told = capsys.readouterr().err
    assert told.index("docs/a.pdf") < told.index("docs/b.txt") < told.index("docs/c.txt")
    assert "1,050 tokens, 250 over the limit of 800" in told
    assert "-g '!/c.txt'" in told
    assert "docs/x.zip: is a zip archive" in told
    assert told.strip().split("\n")[-1].startswith("tscli: the documents have 1,050 tokens, 250 more than the limit of 800")


def test_json_has_it_too(over: OverBudget, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ingest", "docs", "--json", "--quiet"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["tokens"] == {"total": 1050, "limit": 800, "over": 250}
    assert said["leave_out"] == ["docs/c.txt"]
    assert said["failures"] == [{"file": "docs/x.zip", "reason": "is a zip archive"}]


@pytest.mark.parametrize(
    ("sizes", "limit", "leave_out"),
    [((500, 300, 250), 800, ("c",)), ((500, 300, 250), 300, ("a", "c")), ((500, 300, 250), 0, ()), ((10, 9, 8), 17, ("a",))],
)
def test_as_few_documents_as_can_be_are_left_out(sizes: tuple[int, ...], limit: int, leave_out: tuple[str, ...]) -> None:
    total = sum(sizes) + (1 if not limit else 0)  # what stands before the documents cannot be left out
    assert OverBudget([(name, 1, size) for name, size in zip("abc", sizes, strict=True)], total, limit).leave_out == leave_out
