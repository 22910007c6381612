from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tscli.store import HistoryEntry, read_history, remember
from tscli.store.history import HISTORY


def test_questions_come_back_in_the_order_asked(tmp_path: Path) -> None:
    assert read_history(tmp_path) == ([], 0)
    remember(tmp_path, "now", "who?\n\u2028", {"ab": [1, 2]})
    remember(tmp_path, "later", "wo?", {})
    assert read_history(tmp_path) == (
        [HistoryEntry("now", "who?\n\u2028", {"ab": [1, 2]}), HistoryEntry("later", "wo?", {})],
        0,
    )


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_the_owner_can_read_it_whatever_the_umask_and_whatever_it_was(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        remember(tmp_path, "now", "who?", {})
    finally:
        os.umask(before)
    file = tmp_path / HISTORY
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    remember(tmp_path, "now", "who?", {})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / HISTORY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        remember(tmp_path, "now", "who?", {})
    assert not (tmp_path / "elsewhere").exists()


def test_half_a_line_of_a_killed_run_is_left_out_and_counted(tmp_path: Path) -> None:
    remember(tmp_path, "now", "who?", {})
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"asked": "no\n[]\n{"asked": "x", "question": "y", "pages": 5}\n')
    found, unreadable = read_history(tmp_path)
    assert [asked.question for asked in found] == ["who?"]
    assert unreadable == 3
