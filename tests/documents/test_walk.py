"""Files are found as ripgrep finds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tscli.documents import WalkOptions, load, walk
from tscli.documents.globs import alternatives
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


def test_files_that_would_be_shown_alike_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    write(tmp_path, "a/notes.txt", "b/notes.txt", "b/other.txt", "x/a/docs/n.txt", "y/a/docs/n.txt")
    files = walk([tmp_path / "a/notes.txt", tmp_path / "b/notes.txt", tmp_path / "b/other.txt"])
    assert [file.path for file in files] == ["a/notes.txt", "b/notes.txt", "other.txt"]
    files = walk([tmp_path / "x/a/docs", tmp_path / "y/a/docs"])
    assert [file.path for file in files] == ["x/a/docs/n.txt", "y/a/docs/n.txt"]


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
        (("*.{md,txt}",), ["a.md", "c.txt", "sub/b.md"]),
        (("*.{m{d,k},t{x,e}t}",), ["a.md", "c.txt", "sub/b.md"]),
        (("!*.{md,rst}",), ["c.txt"]),
        (("{sub,other}/*.md",), ["sub/b.md"]),
    ],
)
def test_globs_choose_and_leave_out(tmp_path: Path, globs: tuple[str, ...], expected: list[str]) -> None:
    write(tmp_path, "a.md", "sub/b.md", "c.txt")
    assert shown(tmp_path, globs=globs) == expected


def test_a_glob_overrules_ignore_files_and_hidden_names(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", "a.log", ".b.log", "c.txt")
    write(tmp_path, ".gitignore", text="*.log\n")
    assert shown(tmp_path, globs=("*.log",)) == [".b.log", "a.log"]


def test_a_named_file_is_taken_though_ignored_and_hidden(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", ".hidden.txt")
    write(tmp_path, ".gitignore", text="*\n")
    assert [file.path for file in walk([tmp_path / ".hidden.txt"])] == [".hidden.txt"]


def test_loops_of_links_end_and_each_file_comes_once(tmp_path: Path) -> None:
    write(tmp_path, "a/x.txt")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = walk([tmp_path, tmp_path / "a"])
    assert [file.path for file in found] == [f"{tmp_path.name}/a/x.txt"]


def test_a_web_of_links_is_walked_once(tmp_path: Path) -> None:
    """Each folder links twice to the next one: 2^40 ways lead to the last."""
    for depth in range(40):
        write(tmp_path, f"{depth:02}/x.txt")
        for link in ("left", "right"):
            (tmp_path / f"{depth:02}" / link).symlink_to(tmp_path / f"{depth + 1:02}")
    (tmp_path / "40").mkdir()
    assert len(walk([tmp_path])) == 40


def test_a_file_is_shown_by_its_own_path_though_a_link_sorts_earlier(tmp_path: Path) -> None:
    write(tmp_path, "real/x.txt")
    (tmp_path / "again.txt").symlink_to(tmp_path / "real" / "x.txt")
    (tmp_path / "all").symlink_to(tmp_path / "real")
    assert shown(tmp_path) == ["real/x.txt"]


def test_a_folder_named_through_a_link_is_shown_as_it_was_named(tmp_path: Path) -> None:
    write(tmp_path, "real/x.txt")
    (tmp_path / "docs").symlink_to(tmp_path / "real")
    assert [file.path for file in walk([tmp_path / "docs"])] == ["docs/x.txt"]


def test_what_cannot_be_read_as_a_file_comes_with_the_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    write(tmp_path, "a.txt")
    problems = {file.source.name: file.problem for file in walk([tmp_path])}
    assert problems["a.txt"] is None
    assert "pipe" in (problems["pipe"] or "")
    assert "leads nowhere" in (problems["nowhere"] or "")
    assert "leads nowhere" in (problems["circle"] or "")


def test_the_same_content_under_two_names_is_two_files(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "b.txt")
    os.link(tmp_path / "a.txt", tmp_path / "c.txt")
    assert shown(tmp_path) == ["a.txt", "b.txt", "c.txt"]


def test_a_file_found_in_a_folder_and_named_as_well_counts_as_named(tmp_path: Path) -> None:
    write(tmp_path, "a.txt")
    assert [(file.path, file.named) for file in walk([tmp_path, tmp_path / "a.txt"])] == [(f"{tmp_path.name}/a.txt", True)]


def test_names_that_no_line_can_show_are_made_showable(tmp_path: Path) -> None:
    for name in (b"bad\xff.txt", b"two\nlines.txt"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"text")
    assert shown(tmp_path) == ["bad\ufffd.txt", "two\ufffdlines.txt"]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        walk([tmp_path / "absent"])


def test_a_name_that_is_no_utf8_is_shown_and_still_read(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    found = walk([tmp_path])
    assert found[0].path.endswith("caf\ufffd.txt")
    assert found[0].source.read_text() == "text"


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.md", ["*.md"]),
        ("a{b,c{d,e}}f", ["abf", "acdf", "acef"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("{a\\,b,c}", ["a\\,b", "c"]),
        ("\\{a,b\\}", ["\\{a,b\\}"]),
        ("[{,}]x", ["[{,}]x"]),
        ("a{,b}", ["ab"]),
        ("a,b", ["a,b"]),
    ],
)
def test_braces_stand_for_their_alternatives(glob: str, expected: list[str]) -> None:
    assert alternatives(glob) == expected


@pytest.mark.parametrize("glob", ["{a", "a}", "{a,{b}", "{a,b}" * 20])
def test_braces_that_cannot_be_meant_are_refused(glob: str) -> None:
    with pytest.raises(UsageError, match="--glob"):
        alternatives(glob)


@pytest.fixture
def git_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "me"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    return home


@pytest.mark.parametrize(
    ("config", "file"),
    [
        ("[user]\n\tname = x\n[core]\n\texcludesFile = ~/ignored  ; mine\n", "ignored"),
        ('[Core] excludesfile = "~/my ignored"\n', "my ignored"),
        ("[core]\n\teditor = vi\n", ".config/git/ignore"),
    ],
)
def test_what_git_ignores_everywhere_is_ignored_in_repositories(git_home: Path, tmp_path: Path, config: str, file: str) -> None:
    write(tmp_path, "repo/.git/config", "repo/a.log", "repo/sub/b.log", "repo/c.txt", "plain/a.log", text="")
    write(git_home, ".gitconfig", text=config)
    write(git_home, file, text="*.log\n")
    assert shown(tmp_path / "repo") == ["c.txt"]
    assert shown(tmp_path / "plain") == ["a.log"]
    write(tmp_path, "repo/.gitignore", text="!b.log\n")
    assert shown(tmp_path / "repo") == ["c.txt", "sub/b.log"]


def test_a_repository_names_its_own_file_of_what_to_ignore(git_home: Path, tmp_path: Path) -> None:
    write(git_home, ".gitconfig", text="[core]\nexcludesFile = ~/all\n")
    write(git_home, "all", text="*.txt\n")
    write(tmp_path, "repo/a.log", "repo/c.txt", "own", text="*.log\n")
    write(tmp_path, "repo/.git/config", text=f"[core]\nexcludesFile = {tmp_path}/own\n")
    assert shown(tmp_path / "repo") == ["c.txt"]


def test_a_linked_worktree_is_held_by_its_repository_s_exclude_file(tmp_path: Path) -> None:
    write(tmp_path, "main/.git/worktrees/tree/HEAD", "tree/a.log", "tree/b.txt")
    write(tmp_path, "main/.git/worktrees/tree/commondir", text="../..\n")
    write(tmp_path, "main/.git/info/exclude", text="*.log\n")
    write(tmp_path, "tree/.git", text=f"gitdir: {tmp_path}/main/.git/worktrees/tree\n")
    assert shown(tmp_path / "tree") == ["b.txt"]


def test_links_that_lead_out_of_the_named_folders_are_told(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.txt", "docs/sub/b.txt", "far/c.txt", "far/deep/d.txt", "near/e.txt")
    (tmp_path / "docs" / "way").symlink_to(tmp_path / "far")
    (tmp_path / "docs" / "in").symlink_to(tmp_path / "docs" / "sub")
    (tmp_path / "docs" / "file.txt").symlink_to(tmp_path / "near" / "e.txt")
    found = {file.source.name: (file.outside, file.leads_to) for file in walk([tmp_path / "docs"])}
    assert found == {
        "a.txt": (None, None),
        "b.txt": (None, None),
        "c.txt": ("docs/way", str(tmp_path / "far")),
        "d.txt": ("docs/way", str(tmp_path / "far")),
        "e.txt": ("docs/file.txt", str(tmp_path / "near" / "e.txt")),
    }
    assert {file.outside for file in walk([tmp_path / "docs", tmp_path / "far", tmp_path / "near"])} == {None}
    note = load([tmp_path / "docs"], workers=1).notes[0]
    assert note.startswith("2 links lead out of the named folders and were followed: docs/file.txt -> ")
