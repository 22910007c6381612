"""The tables of docs/benchmarks.md: made of results, put between their marks, everything else left as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.publish import PAGE, accuracy_table, replaced, sweep_table, write
from tscli.evaluation.results import Result

RESULTS = [
    Result("multikey", 4096, None, "dense", 20, 0.95, (0.7, 1.0)),
    Result("multikey", 4096, 0.1, "dense", 4, 1.0, (0.5, 1.0)),
    Result("multikey", 4096, None, "tokenselect", 20, 0.9, (0.7, 1.0)),
    Result("multikey", 1 << 20, None, "tokenselect", 20, 0.85, (0.6, 0.95)),
]
SWEEPS = [
    Result("multikey", 16384, None, "tokenselect-k=32", 20, 0.5, (0.3, 0.7)),
    Result("single-words", 16384, None, "tokenselect-k=32", 20, 0.25, (0.1, 0.5)),
]


def test_a_row_for_each_task_and_method_and_a_column_for_each_length() -> None:
    assert accuracy_table(RESULTS).splitlines() == [
        "| task | method | 4K | 1M |",
        "|---|---|---:|---:|",
        "| multikey | dense | 19/20 |  |",
        "| multikey | tokenselect | 18/20 | 17/20 |",
    ]


def test_a_sweep_sums_over_the_tasks() -> None:
    assert sweep_table(SWEEPS).splitlines()[2:] == ["| k | 32 | 15/40 |"]


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
    assert replaced(text, "x", "new") == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n"
    with pytest.raises(ValueError, match="no place marked"):
        replaced(text, "y", "new")


def test_the_projects_page_has_the_marks_and_the_json_says_on_what_it_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    (tmp_path / PAGE).parent.mkdir()
    (tmp_path / PAGE).write_text((Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8"), encoding="utf-8")
    write(tmp_path, RESULTS, SWEEPS, [])
    assert "| multikey | tokenselect | 18/20 | 17/20 |" in (tmp_path / PAGE).read_text(encoding="utf-8")
    (file,) = (tmp_path / "docs/results").iterdir()
    content = json.loads(file.read_text())
    assert content["versions"]["torch"]
    assert content["hardware"]["cores"] >= 1
    assert len(content["results"]) == 4
    assert (tmp_path / "docs/pictures/accuracy.svg").stat().st_size > 1000
