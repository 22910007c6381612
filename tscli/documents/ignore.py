"""The rules of ignore files, with ripgrep's precedence. Knows nothing of globs, hidden names, or what is done with a file.

.rgignore overrules .ignore, which overrules .gitignore, which overrules .git/info/exclude, which overrules git's
core.excludesFile; of one kind the deepest folder decides. Git's own kinds count inside a repository only, and not across the
border of a nested one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from tscli.documents.git import excludes_file, git_folder
from tscli.documents.globs import bounded
from tscli.errors import UsageError

KINDS = (".rgignore", ".ignore", ".gitignore", ".git/info/exclude", "core.excludesFile")  # the earlier overrules the later
OF_GIT = KINDS[2:]
# pathspec's patterns match what lies in a matched folder too, and mark where the folder's name ended by this group.
FOLDER_MARK = "ps_d"
LARGEST = 256 << 10  # bytes; every rule is tried on every name


@dataclass(frozen=True)
class _Rule:
    """One ignore file; prefix is its folder, with a slash at the end."""

    kind: str
    prefix: str
    patterns: tuple[tuple[re.Pattern[str], bool], ...]  # what it matches, and whether that is ignored; the last decides


@dataclass(frozen=True)
class IgnoreRules:
    """The ignore files that hold inside one folder, the one that decides first in front."""

    rules: tuple[_Rule, ...] = ()
    in_git: bool = False

    @classmethod
    def above(cls, folder: Path) -> IgnoreRules:
        """What the folders above this one say."""
        rules = cls()
        for parent in reversed(folder.parents):
            rules = rules.inside(parent)
        return rules

    def inside(self, folder: Path) -> IgnoreRules:
        """These rules and those of a folder one further down. UsageError for an ignore file that is too large."""
        is_repository = os.path.exists(folder / ".git")  # False, too, where no name can be so long
        in_git = self.in_git or is_repository
        kept = tuple(rule for rule in self.rules if not (is_repository and rule.kind in OF_GIT))
        own = tuple(
            _Rule(kind, os.path.join(folder, ""), patterns)
            for kind, file in _files(folder, in_git, is_repository)
            if (patterns := _read(file)) is not None
        )
        if not own and kept == self.rules and in_git == self.in_git:
            return self
        return IgnoreRules(tuple(sorted((*own, *kept), key=lambda rule: KINDS.index(rule.kind))), in_git)

    def decide(self, path: Path, is_folder: bool) -> bool | None:
        """True: ignored; False: taken in again by a `!` rule; None: no rule says anything about this very entry."""
        text = path.as_posix()
        for rule in self.rules:
            relative = text[len(rule.prefix) :]
            for regex, ignored in reversed(rule.patterns):
                if _matches(regex, relative, is_folder):
                    return ignored
        return None


def _files(folder: Path, in_git: bool, is_repository: bool) -> Iterator[tuple[str, Path]]:
    """The ignore files that there may be in a folder, and those of the repository where the folder is one."""
    yield from ((kind, folder / kind) for kind in (KINDS[:3] if in_git else KINDS[:2]))
    if is_repository:
        git = git_folder(folder)
        yield KINDS[3], git / "info" / "exclude"
        if (file := excludes_file(folder, git)) is not None:
            yield KINDS[4], file


def _matches(regex: re.Pattern[str], relative: str, is_folder: bool) -> bool:
    """Whether a pattern matches the entry itself, not merely a folder above it (git and ripgrep go entry by entry)."""
    match = regex.search(relative)
    if match is not None and match.groupdict().get(FOLDER_MARK) is None:
        return True
    if not is_folder or FOLDER_MARK not in regex.groupindex:
        return False
    return any(match.end(FOLDER_MARK) == len(relative) + 1 for match in regex.finditer(f"{relative}/"))


def _read(file: Path) -> tuple[tuple[re.Pattern[str], bool], ...] | None:
    """The rules of an ignore file; None where there is none, as where its name is that of a pipe or a device."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > LARGEST:
            raise UsageError(
                f"{file}: {status.st_size:,} bytes are too many for an ignore file ({LARGEST:,} at most); "
                "shorten it, or read no ignore files with --no-ignore"
            )
        lines = file.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    except OSError:  # there is none, which is the rule; or it may not be read, and then git passes over it as well
        return None
    return _compiled(line.rstrip("\r") for line in lines)


def _compiled(lines: Iterable[str]) -> tuple[tuple[re.Pattern[str], bool], ...]:
    patterns = GitIgnoreSpec.from_lines(lines).patterns
    return tuple((bounded(pattern.regex), bool(pattern.include)) for pattern in patterns if pattern.regex is not None)
