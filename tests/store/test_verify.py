"""What the list says of a library: its size on disk and when it was opened last."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.store.conftest import fill, tokens
from tscli.store import list_libraries, mark_used, open_library, prune, verify

Make = Callable[..., Path]


def test_the_size_is_that_of_all_files_also_of_stale_ones(make_library: Make) -> None:
    folder = make_library()
    before = list_libraries()[0].size_bytes
    assert before == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    fill(folder, tokens(150, seed=5))
    assert list_libraries()[0].size_bytes > 1.8 * before


def test_a_damaged_library_still_has_a_size(make_library: Make) -> None:
    (make_library() / "manifest.json").write_text("{half")
    info = list_libraries()[0]
    assert info.error is not None
    assert info.size_bytes > 10_000


def test_the_last_use_is_the_time_of_a_small_file(make_library: Make) -> None:
    folder = make_library()
    assert list_libraries()[0].last_used is None
    mark_used(folder)
    used = list_libraries()[0].last_used
    assert used is not None
    assert abs((datetime.now(UTC) - datetime.fromisoformat(used)).total_seconds()) < 60
    os.utime(folder / "used", (0, 0))
    assert list_libraries()[0].last_used == "1970-01-01T00:00:00+00:00"
    mark_used(folder)
    assert list_libraries()[0].last_used != "1970-01-01T00:00:00+00:00"
    prune(folder)
    assert list_libraries()[0].last_used is not None
    assert verify(folder) == []


def test_a_library_that_cannot_be_written_opens_all_the_same(make_library: Make, tmp_path: Path) -> None:
    folder = make_library()
    (folder / "used").symlink_to(tmp_path / "absent" / "used")  # fails for root too
    mark_used(folder)
    assert open_library(folder).manifest.num_tokens == 150
    assert list_libraries()[0].last_used is None
