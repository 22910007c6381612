"""Which files belong to the given paths, by ripgrep's rules: ignore files at every level, hidden names, globs.

Opens no file but the ignore files. Binary files are told apart when they are read.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pathspec import GitIgnoreSpec

from tscli.documents.globs import alternatives
from tscli.documents.ignore import IgnoreRules
from tscli.errors import UsageError


@dataclass(frozen=True)
class WalkOptions:
    """no_ignore: ignore files are not read; hidden: names with a leading dot count; globs: as ripgrep's -g, "!..." excludes.

    Globs are relative to the folder that is walked, and overrule ignore files and hidden names; the last that matches decides.
    """

    no_ignore: bool = False
    hidden: bool = False
    globs: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundFile:
    """A file to read: the path shown to the user, the absolute path, and whether the user named this very file.

    problem: why it is not to be opened at all (a pipe, a link to nothing, a folder that may not be listed).
    outside: the link that led to it out of the named folders, as shown; leads_to: where that link leads.
    """

    path: str
    source: Path
    named: bool
    problem: str | None = None
    outside: str | None = None
    leads_to: str | None = None


def walk(paths: Sequence[Path], options: WalkOptions = WalkOptions()) -> list[FoundFile]:
    """All files under these paths, sorted by shown path, each once; UsageError for a path that does not exist.

    A file named by itself is taken even if it is ignored or hidden. Symbolic links are followed; loops end.
    """
    found: dict[Path, FoundFile] = {}
    roots = [path.expanduser().resolve() for path in paths]
    for path in paths:
        absolute = Path(os.path.abspath(path.expanduser()))
        try:
            real = path.expanduser().resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
            raise UsageError(f"{path}: {_reason(error)}; check the path") from error
        if real.is_dir():
            for file in _Walk(real, absolute.name, options, roots).files():
                found.setdefault(file.source, file)
        else:
            known = found.get(real, FoundFile(printable(absolute.name), real, True, _problem(real)))
            found[real] = replace(known, named=True)
    return sorted(_made_distinct(list(found.values())), key=lambda file: (file.path, str(file.source)))


def longer(shown: str, source: Path) -> str:
    """The shown path with the name of one more folder in front, for files that would be shown alike."""
    return printable(os.path.join(*source.parts[-len(Path(shown).parts) - 1 :]))


def _made_distinct(files: list[FoundFile]) -> list[FoundFile]:
    """Files that would be shown alike get as many of their folders' names as tell them apart."""
    while True:
        counts = Counter(file.path for file in files)
        alike = [counts[file.path] > 1 and len(Path(file.path).parts) < len(file.source.parts) for file in files]
        if not any(alike):
            return files
        files = [replace(f, path=longer(f.path, f.source)) if a else f for f, a in zip(files, alike, strict=True)]


def printable(path: str) -> str:
    """A path that can be shown on one line and encoded: what can be neither becomes the replacement character."""
    return path if path.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in path)


_LinkOut = tuple[str, str] | None  # the link by which a walk left the named folders, and where it leads


class _Walk:
    """One walk below one folder. Links wait until all else is done, so that a file is shown by its own path."""

    def __init__(self, root: Path, name: str, options: WalkOptions, roots: Sequence[Path]) -> None:
        self.root = root
        self.roots = roots
        self.name = name
        self.options = options
        self.globs = GitIgnoreSpec.from_lines([each for glob in options.globs for each in alternatives(glob)])
        self.picks = any(not glob.startswith("!") for glob in options.globs)
        above = IgnoreRules() if options.no_ignore else IgnoreRules.above(root)
        self.folders: deque[tuple[Path, IgnoreRules, _LinkOut]] = deque([(root, above, None)])
        self.links: deque[tuple[Path, IgnoreRules, _LinkOut]] = deque()
        self.visited: set[tuple[int, int]] = set()

    def files(self) -> Iterator[FoundFile]:
        while self.folders or self.links:
            if self.folders:
                yield from self._folder(*self.folders.popleft())
                continue
            link, rules, way = self.links.popleft()
            way = way or self._link_out(link)
            if os.path.isdir(link):  # False, too, for one that leads nowhere
                self.folders.append((link, rules, way))
            else:
                yield self._found(link, way=way)

    def _link_out(self, link: Path) -> _LinkOut:
        """The link and where it leads, where that is in none of the named folders."""
        try:
            real = link.resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        inside = any(real == root or root in real.parents for root in self.roots)
        return None if inside else (self._shown(link), printable(str(real)))

    def _folder(self, folder: Path, rules: IgnoreRules, way: _LinkOut) -> Iterator[FoundFile]:
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in self.visited:  # reached before by another way, as in a loop of links
                return
            self.visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield self._found(folder, f"is a folder that cannot be listed ({_reason(error)})")
            return
        if not self.options.no_ignore:
            rules = rules.inside(folder)
        for entry in entries:
            path = folder / entry.name
            is_folder = _is_folder(entry)
            if not self._taken(path, is_folder, rules):
                continue
            if entry.is_symlink():
                self.links.append((path, rules, way))
            elif is_folder:
                self.folders.append((path, rules, way))
            else:
                yield self._found(path, way=way)

    def _taken(self, path: Path, is_folder: bool, rules: IgnoreRules) -> bool:
        if path.name == ".git":
            return False
        if self.options.globs:
            relative = path.relative_to(self.root).as_posix() + ("/" if is_folder else "")
            picked = self.globs.check_file(relative).include
            if picked is not None:
                return picked
            if self.picks and not is_folder:
                return False
        ignored = rules.decide(path, is_folder)
        if ignored is None:
            return self.options.hidden or not path.name.startswith(".")
        return not ignored

    def _shown(self, path: Path) -> str:
        return printable(os.path.join(self.name, path.relative_to(self.root).as_posix()))

    def _found(self, path: Path, problem: str | None = None, way: _LinkOut = None) -> FoundFile:
        problem = problem or _problem(path)
        # Only what can be opened is worth following to its end: a link to nothing stays what it is.
        return FoundFile(self._shown(path), path if problem else path.resolve(), False, problem, *(way or ()))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _problem(path: Path) -> str | None:
    """Why a path cannot be read as a file: None for a regular one."""
    try:
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:
        return f"is a link that leads nowhere ({_reason(error)})" if path.is_symlink() else f"cannot be read ({_reason(error)})"
    if stat.S_ISREG(mode):
        return None
    kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    return f"is a {kind}, not a file; write its output to a file first"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()
