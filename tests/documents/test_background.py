"""Documents are read beside other work: the same as without, and ended with it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tscli.documents import Stop, in_background, load
from tscli.documents.process import Cancelled
from tscli.errors import UsageError


def children() -> set[str]:
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(300):
        (tmp_path / f"{number:03}.txt").write_text(f"text {number}")
    return tmp_path


def test_what_is_read_ahead_is_what_is_read(folder: Path) -> None:
    with in_background(lambda stop: load([folder], stop=stop)) as documents:
        assert documents() == load([folder])


def test_an_error_beside_it_ends_the_reading_and_its_processes(folder: Path) -> None:
    seen: list[str] = []

    def slow(path: str, done: int, total: int) -> None:
        seen.append(path)
        time.sleep(0.05)

    def fail() -> None:
        with in_background(lambda stop: load([folder], on_file=slow, stop=stop)):
            while not seen:
                time.sleep(0.01)
            raise RuntimeError("no model")

    before = children()
    with pytest.raises(RuntimeError, match="no model"):
        fail()
    assert len(seen) < 20
    assert children() <= before


def test_an_error_of_the_reading_is_raised_where_it_is_waited_for(tmp_path: Path) -> None:
    with (
        in_background(lambda stop: load([tmp_path / "none"], stop=stop)) as documents,
        pytest.raises(UsageError, match="none"),
    ):
        documents()


def test_a_stop_before_anything_runs_ends_it_too(folder: Path) -> None:
    stop = Stop()
    stop()
    with pytest.raises(Cancelled):
        load([folder], stop=stop)
