"""Files are found as ripgrep finds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tscli.documents import WalkOptions, walk
from tscli.errors import UsageError


def write(root: Path, *names: str, text: str = "text") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def shown(root: Path, **options: object) -> list[str]:
    return [file.path.removeprefix(f"{root.name}/") for file in walk([root], WalkOptions(**options))]  # type: ignore[arg-type]


def test_files_are_sorted_and_shown_below_the_folder_that_was_named(tmp_path: Path) -> None:
    write(tmp_path / "docs", "b.txt", "a/z.txt", "a.txt")
    assert [file.path for file in walk([tmp_path / "docs"])] == ["docs/a.txt", "docs/a/z.txt", "docs/b.txt"]


def test_nested_ignore_files_overrule_those_above(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", "a.log", "sub/a.log", "sub/keep.log", "build/x.txt", "sub/build/x.txt")
    write(tmp_path, ".gitignore", text="*.log\n/build/\n")
    write(tmp_path / "sub", ".gitignore", text="!keep.log\n")
    assert shown(tmp_path) == ["sub/build/x.txt", "sub/keep.log"]
    assert "a.log" in shown(tmp_path, no_ignore=True)


def test_ignore_files_above_the_named_folder_count(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", "docs/draft.md", "docs/final.md")
    write(tmp_path, ".gitignore", text="draft.md\n")
    assert shown(tmp_path / "docs") == ["final.md"]


def test_gitignore_counts_in_git_only_and_ignore_everywhere(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "b.txt")
    write(tmp_path, ".gitignore", text="a.txt\n")
    write(tmp_path, ".ignore", text="b.txt\n")
    assert shown(tmp_path) == ["a.txt"]


def test_ignore_overrules_gitignore(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", "a.txt")
    write(tmp_path, ".gitignore", text="a.txt\n")
    write(tmp_path, ".ignore", text="!a.txt\n")
    assert shown(tmp_path) == ["a.txt"]


def test_hidden_files_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    write(tmp_path, ".secret/a.txt", ".b.txt", "c.txt", ".git/config")
    assert shown(tmp_path) == ["c.txt"]
    assert shown(tmp_path, hidden=True) == [".b.txt", ".secret/a.txt", "c.txt"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (("*.md",), ["a.md", "sub/b.md"]),
        (("!*.md",), ["c.txt"]),
        (("*.md", "!sub/**"), ["a.md"]),
        (("sub/*",), ["sub/b.md"]),
    ],
)
def test_globs_choose_and_leave_out(tmp_path: Path, globs: tuple[str, ...], expected: list[str]) -> None:
    write(tmp_path, "a.md", "sub/b.md", "c.txt")
    assert shown(tmp_path, globs=globs) == expected


def test_a_named_file_is_taken_though_ignored_and_hidden(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", ".hidden.txt")
    write(tmp_path, ".gitignore", text="*\n")
    assert [file.path for file in walk([tmp_path / ".hidden.txt"])] == [".hidden.txt"]


def test_loops_of_links_end_and_each_file_comes_once(tmp_path: Path) -> None:
    write(tmp_path, "a/x.txt")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "again.txt").symlink_to(tmp_path / "a" / "x.txt")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    found = walk([tmp_path, tmp_path / "a"])
    assert len(found) == 1


def test_pipes_and_devices_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, "a.txt")
    assert shown(tmp_path) == ["a.txt"]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        walk([tmp_path / "absent"])


def test_a_name_that_is_no_utf8_is_shown_and_still_read(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    found = walk([tmp_path])
    assert found[0].path.endswith("caf\ufffd.txt")
    assert found[0].source.read_text() == "text"
