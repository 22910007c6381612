"""Which model is this: where its files lie, and a hash of its configuration and weights."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import xxhash

from tscli import reader
from tscli.errors import TscliError
from tscli.model.hub import OnDownload, snapshot
from tscli.model.options import EMBEDDED, LoadOptions

BLOCK = 1 << 20
MAX_BLOCKS = 16


def locate(model: str, revision: str | None = None, *, progress: bool = False, on_download: OnDownload | None = None) -> Path:
    """The folder that holds the model's files: the given folder, or the hub's snapshot (downloaded where allowed)."""
    if model == EMBEDDED:
        return reader.path()
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise TscliError(f"{model}: no config.json there; give a folder in Hugging Face layout with --model")
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise TscliError(f"{model}: no such folder; give a model folder or a hub id with --model")
    return snapshot(model, revision, progress=progress, on_download=on_download)


def fetch_model(load: LoadOptions, *, progress: bool = False, on_download: OnDownload | None = None) -> Path:
    """The folder of a model's files, downloaded where they are not on this machine yet; loads nothing.

    progress: show the hub client's bars on a terminal. on_download is told before a download, with the folder that it goes to.
    Raises TscliError where the model cannot be had.
    """
    return locate(load.model or EMBEDDED, load.revision, progress=progress, on_download=on_download)


def weights_hash(folder: Path) -> str:
    """SHA-256 over the configuration and, per weight file, its name, size and up to 16 evenly spaced MiB."""
    digest = hashlib.sha256()
    config = json.loads((folder / "config.json").read_text())
    config.pop("transformers_version", None)
    digest.update(json.dumps(config, sort_keys=True).encode())
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.index.json")]):
        digest.update(f"{path.name}:{path.stat().st_size}:{_sampled(path)}".encode())
    return digest.hexdigest()


def _sampled(path: Path) -> str:
    size = path.stat().st_size
    last = max(0, size - BLOCK)
    offsets = range(0, size, BLOCK) if size <= BLOCK * MAX_BLOCKS else [last * i // (MAX_BLOCKS - 1) for i in range(MAX_BLOCKS)]
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset, os.SEEK_SET)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()
