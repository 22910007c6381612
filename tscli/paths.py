"""Where libraries lie: $TSCLI_HOME, or the platform's data folder for this user; and where models do that were converted:
$TSCLI_CACHE, or its cache folder. Free of torch: a shell that completes a name does not wait for it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from platformdirs import user_cache_dir, user_data_dir

from tscli.errors import UsageError

MANIFEST = "manifest.json"
MANIFEST_COPY = "manifest.copy.json"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


def home() -> Path:
    """The folder that holds all libraries."""
    given = os.environ.get("TSCLI_HOME")
    return Path(given).expanduser().absolute() if given else Path(user_data_dir("tscli", appauthor=False))


def cache() -> Path:
    """The folder of what can be made again: models that were converted."""
    given = os.environ.get("TSCLI_CACHE")
    return Path(given).expanduser().absolute() if given else Path(user_cache_dir("tscli", appauthor=False))


def retrieval_heads_file(model_hash: str) -> Path:
    """The file that holds, or would hold, the calibrated retrieval heads of the model with these weights."""
    return cache() / "voters" / f"{model_hash[:32]}.json"


def shipped_retrieval_heads_file(model_hash: str) -> Path:
    """The same for models whose retrieval heads are shipped."""
    return Path(__file__).with_name("answer") / "calibration" / "shipped" / retrieval_heads_file(model_hash).name


def library_folder(name: str) -> Path:
    """The folder of a library: by name under home, or as it is where the name is a path. UsageError for a bad name."""
    if os.sep in name:
        return Path(name).expanduser().absolute()
    if not NAME.fullmatch(name):
        raise UsageError(f"library name {name!r}: use letters, digits, '.', '_' and '-' (not '.' first), or a path")
    return home() / "libraries" / name


def library_name(folder: Path) -> str:
    """What `library_folder` makes this folder of: its name under home, or the path."""
    return folder.name if folder.parent == home() / "libraries" else str(folder)


def library_folders(parent: Path) -> list[Path]:
    """The folders in this one that hold a library, by name; a hidden one is an import that is not done."""
    found = {path.parent for name in (MANIFEST, MANIFEST_COPY) for path in parent.glob(f"*/{name}")}
    return sorted(folder for folder in found if not folder.name.startswith("."))


def library_names() -> list[str]:
    """The names of all libraries under home; no manifest is read."""
    return [folder.name for folder in library_folders(home() / "libraries")]


def disk_free_bytes(folder: Path) -> int:
    """What is free on the disk on which this folder is, or would be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
