"""Which model is this: its full name, where its files lie, and a hash of its configuration and weights. Free of torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tscli import reader
from tscli.errors import TscliError
from tscli.model import gguf
from tscli.model.fetch import default_model, get_known, here
from tscli.model.gguf import conversion_hash, gguf_folder, is_gguf, read_converted, sampled
from tscli.model.gguf_header import OnStep
from tscli.model.hub import OnDownload, snapshot
from tscli.model.known import KNOWN
from tscli.model.options import EMBEDDED, LoadOptions


def locate(
    model: str,
    revision: str | None = None,
    *,
    progress: bool = False,
    on_download: OnDownload | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """The folder that holds the model's files: the given folder, a GGUF file's (converted where it was not before), or the
    hub's snapshot (downloaded where allowed)."""
    if model == EMBEDDED:
        return reader.path()
    if model in KNOWN:
        return get_known(model, progress=progress, on_download=on_download, on_step=on_step)
    if is_gguf(model):
        return gguf_folder(Path(model), on_step)
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise TscliError(f"{model}: no config.json there; give a folder in Hugging Face layout with --model")
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise TscliError(f"{model}: no such folder; give a model folder, a .gguf file or a hub id with --model")
    return snapshot(model, revision, progress=progress, on_download=on_download)


def full_name(model: str | None) -> str:
    """What a library calls the model, so that it is found again from everywhere: a path from the root, or the name as it is;
    the default where none is given."""
    if model is None:
        return default_model()
    if model == EMBEDDED or model in KNOWN:
        return model
    path = Path(model).expanduser()
    return str(path.absolute()) if is_gguf(model) or path.is_dir() else model


def find_again(model: str, model_hash: str) -> str:
    """The name that leads to a library's model: its own, or, where that leads to no conversion of these weights any more, the
    folder of another one that has them."""
    if not (is_gguf(model) or model in KNOWN):
        return model
    if model in KNOWN:
        folder = here(model)
        found = read_converted(folder) if folder else None
        if folder is not None and found is None:  # the hub's
            return model
    else:
        found = gguf.converted_of(Path(model))
    if found is not None and found.weights_hash == model_hash:
        return model
    return next((str(other.folder) for other in gguf.all_converted() if other.weights_hash == model_hash), model)


def fetch_model(
    load: LoadOptions, *, progress: bool = False, on_download: OnDownload | None = None, on_step: OnStep | None = None
) -> Path:
    """The folder of a model's files, downloaded or converted where they are not on this machine yet; loads nothing.

    progress: show the hub client's bars on a terminal. on_download is told before a download, with the folder that it goes to;
    on_step of what else is done, how much of it and of how much. Raises TscliError where the model cannot be had.
    """
    return locate(full_name(load.model), load.revision, progress=progress, on_download=on_download, on_step=on_step)


def weights_hash(folder: Path) -> str:
    """SHA-256 over the configuration and, per weight file, its name, size and up to 16 evenly spaced MiB.

    Of a converted GGUF file over its own SHA-256 and the weights: its configuration is written by transformers, by each version
    a little otherwise. Weights in .bin files count where there are no others.
    """
    if (converted := read_converted(folder)) is not None:
        return conversion_hash(folder, converted.sha256, converted.conversion)
    digest = hashlib.sha256()
    config = json.loads((folder / "config.json").read_text())
    config.pop("transformers_version", None)
    digest.update(json.dumps(config, sort_keys=True).encode())
    weights = list(folder.glob("*.safetensors")) or list(folder.glob("*.bin"))
    for path in sorted([*weights, *folder.glob("*.index.json")]):
        digest.update(f"{path.name}:{path.stat().st_size}:{sampled(path)}".encode())
    return digest.hexdigest()
