"""Where git keeps what a repository ignores beside its own files: the common folder of worktrees, core.excludesFile.

Reads git's configuration as far as that needs it; runs no git.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

LARGEST = 1 << 16  # bytes of a file that is read here
SECTION = re.compile(r"^\s*\[\s*([\w.-]+)\s*(\"[^\"]*\")?\s*\]\s*(.*)$")
EXCLUDES = re.compile(r"^\s*excludesfile\s*=\s*(.*)$", re.IGNORECASE)


def git_folder(repository: Path) -> Path:
    """The folder whose info/exclude holds for a working tree: its .git, or what that leads to in a linked worktree."""
    git = repository / ".git"
    lead = re.match(r"gitdir:\s*(.+)", _text(git))
    if lead is None:
        return git
    own = repository / lead[1].strip()
    common = _text(own / "commondir").strip()
    return own / common if common else own


def excludes_file(repository: Path, git: Path) -> Path | None:
    """The file that core.excludesFile names, for this repository or for this user; git's default where nothing names one."""
    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git"
    own = os.environ.get("GIT_CONFIG_GLOBAL")
    users = [Path(own)] if own is not None else [settings / "config", home / ".gitconfig"]
    named = None
    for file in (Path("/etc/gitconfig"), *users, git / "config"):
        named = _excludes(_text(file), named)
    if named is None:
        return settings / "ignore"
    if not named:
        return None
    if named.startswith("~/"):
        return home / named[2:]
    return repository / os.path.expanduser(named)


def _excludes(config: str, so_far: str | None) -> str | None:
    section = ""
    for line in config.splitlines():
        heading = SECTION.match(line)
        if heading:
            section = heading[1].lower() + (heading[2] or "")
        found = EXCLUDES.match(heading[3] if heading else line)
        if section == "core" and found:
            so_far = _value(found[1])
    return so_far


def _value(text: str) -> str:
    """A value without its quotes, its escapes, and the comment behind it."""
    text = re.match(r'(?:"(?:\\.|[^"\\])*"|\\.|[^#;"\\])*', text)[0].strip()  # type: ignore[index]
    return re.sub(r'\\(.)|"', lambda found: found[1] or "", text)


def _text(file: Path) -> str:
    """A small file's text; nothing where there is none, or a pipe or a device is called so."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return ""
        return file.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""
