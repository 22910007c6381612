"""Which files belong to the given paths, by ripgrep's rules: .gitignore and .ignore at every level, hidden files, globs.

Opens no file but the ignore files. Binary files are told apart when they are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from tscli.errors import UsageError

IGNORE_FILES = (".gitignore", ".ignore")  # the later one overrules the earlier one


@dataclass(frozen=True)
class WalkOptions:
    """no_ignore: ignore files are not read; hidden: names with a leading dot count; globs: as ripgrep's -g, "!..." excludes."""

    no_ignore: bool = False
    hidden: bool = False
    globs: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundFile:
    """A file to read: the path shown to the user, the absolute path, and whether the user named this very file."""

    path: str
    source: Path
    named: bool


@dataclass(frozen=True)
class _Rules:
    """The ignore file of one folder."""

    folder: Path
    spec: GitIgnoreSpec


def walk(paths: Sequence[Path], options: WalkOptions = WalkOptions()) -> list[FoundFile]:
    """All files under these paths, sorted by shown path, each once; UsageError for a path that does not exist.

    A file named by itself is taken even if it is ignored or hidden. Symbolic links are followed; loops end.
    """
    found: dict[Path, FoundFile] = {}
    for path in paths:
        absolute = path.expanduser().absolute()
        if not absolute.exists():
            raise UsageError(f"{path}: no such file or folder; check the path")
        if not absolute.is_dir():
            found.setdefault(absolute.resolve(), FoundFile(_shown(absolute.name), absolute.resolve(), True))
            continue
        root = absolute.resolve()
        globs = GitIgnoreSpec.from_lines(options.globs)
        for file in _files(root, _rules_above(root, options), options, frozenset()):
            relative = file.relative_to(root).as_posix()
            if _wanted(relative, globs, options.globs):
                found.setdefault(file.resolve(), FoundFile(_shown(f"{root.name}/{relative}"), file.resolve(), False))
    return sorted(found.values(), key=lambda file: (file.path, str(file.source)))


def _files(folder: Path, rules: list[_Rules], options: WalkOptions, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link to a folder that we are in
        return
    rules = [*rules, *_rules_of(folder, options)]
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        return
    for entry in entries:
        path = folder / entry.name
        is_folder = entry.is_dir()
        if _left_out(path, is_folder, rules, options):
            continue
        if is_folder:
            yield from _files(path, rules, options, above | {here})
        elif _is_regular(path):
            yield path


def _left_out(path: Path, is_folder: bool, rules: list[_Rules], options: WalkOptions) -> bool:
    hidden = path.name.startswith(".") and not options.hidden
    if path.name == ".git" and is_folder:
        return True
    for rule in reversed(rules):  # the deepest ignore file that says anything decides
        relative = path.relative_to(rule.folder).as_posix() + ("/" if is_folder else "")
        decided = rule.spec.check_file(relative).include
        if decided is not None:
            return decided
    return hidden


def _wanted(relative: str, globs: GitIgnoreSpec, given: Sequence[str]) -> bool:
    """ripgrep's -g: the last glob that matches decides; without a match, a file is wanted if all globs exclude."""
    if not given:
        return True
    decided = globs.check_file(relative)
    if decided.index is None:
        return all(glob.startswith("!") for glob in given)
    return not given[decided.index].startswith("!")


def _rules_above(root: Path, options: WalkOptions) -> list[_Rules]:
    rules = []
    for folder in reversed(root.parents):
        rules += _rules_of(folder, options)
    return rules


def _rules_of(folder: Path, options: WalkOptions) -> list[_Rules]:
    if options.no_ignore:
        return []
    rules = []
    for name in IGNORE_FILES:
        if name == ".gitignore" and not _in_git(folder):
            continue
        try:
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        rules.append(_Rules(folder, GitIgnoreSpec.from_lines(lines)))
    return rules


def _in_git(folder: Path) -> bool:
    return any((above / ".git").exists() for above in (folder, *folder.parents))


def _shown(name: str) -> str:
    """A name as text; bytes that are no UTF-8 become U+FFFD (the file itself is opened under its real name)."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link to nowhere
        return False
