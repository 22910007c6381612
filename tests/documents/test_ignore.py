"""Ignore files decide as git decides, and across kinds as ripgrep decides."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tscli.documents import WalkOptions, walk

PATTERNS = (
    *("*", "!*/", "*.log", "!keep.log", "/a", "a/", "!a/", "build/", "!build", "a/**", "!a/**/x.md", "**/b", "a/*", "!a/b"),
    *("# a", "", "a/*/x.md", "[ab]", "!x.md", "?.md", "\\!a", "*.md ", "a/**/b", "/*", "!/b"),
)


def write(file: Path, text: str = "text") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def shown(root: Path, **options: object) -> list[str]:
    return [file.path.removeprefix(f"{root.name}/") for file in walk([root], WalkOptions(**options))]  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge of this test")
def test_git_finds_the_same_files_under_random_rules(tmp_path: Path) -> None:
    choose = random.Random(7)
    for case in range(30):
        root = tmp_path / str(case)
        for _ in range(14):
            parts = [choose.choice(("a", "b", "build")) for _ in range(choose.randrange(3))]
            write(root.joinpath(*parts, choose.choice(("x.md", "y.log", "keep.log", "z"))))
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        for folder in {root, choose.choice(folders)}:
            write(folder / ".gitignore", "\n".join(choose.sample(PATTERNS, 4)))
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        listed = subprocess.run(
            ["git", "-c", "core.excludesFile=", "ls-files", "-o", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        )
        expected = sorted(listed.stdout.split())
        rules = [(file, file.read_text()) for file in root.rglob(".gitignore")]
        assert shown(root, hidden=True) == expected, rules


def test_a_folder_that_is_ignored_is_read_when_it_is_named(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "config")
    write(tmp_path / ".gitignore", "build/\n*.log\n")
    write(tmp_path / "build" / "a.txt")
    write(tmp_path / "build" / "a.log")
    assert shown(tmp_path) == []
    assert shown(tmp_path / "build") == ["a.txt"]


@pytest.mark.parametrize(
    ("stronger", "weaker"), [(".rgignore", ".ignore"), (".ignore", ".gitignore"), (".rgignore", ".gitignore")]
)
def test_one_kind_overrules_another_even_from_further_up(tmp_path: Path, stronger: str, weaker: str) -> None:
    write(tmp_path / ".git" / "config")
    write(tmp_path / "sub" / "a.txt")
    write(tmp_path / stronger, "!a.txt\n")
    write(tmp_path / "sub" / weaker, "a.txt\n")
    assert shown(tmp_path) == ["sub/a.txt"]


def test_a_nested_repository_does_not_inherit_gitignore_but_inherits_ignore(tmp_path: Path) -> None:
    for file in (".git/config", "a.txt", "b.txt", "nested/.git/config", "nested/a.txt", "nested/b.txt"):
        write(tmp_path / file)
    write(tmp_path / ".gitignore", "a.txt\n")
    write(tmp_path / ".ignore", "b.txt\n")
    assert shown(tmp_path) == ["nested/a.txt"]
    assert shown(tmp_path / "nested") == ["a.txt"]


def test_the_exclude_file_of_the_repository_counts(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "info" / "exclude", "draft.txt\n")
    write(tmp_path / "draft.txt")
    write(tmp_path / "final.txt")
    assert shown(tmp_path) == ["final.txt"]


def test_an_ignore_file_may_begin_with_a_byte_order_mark_and_end_its_lines_as_windows_does(tmp_path: Path) -> None:
    write(tmp_path / "a.txt")
    write(tmp_path / "b.txt")
    (tmp_path / ".ignore").write_bytes(b"\xef\xbb\xbfa.txt\r\nb.txt\r\n")
    assert shown(tmp_path) == []
