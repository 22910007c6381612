"""What is known of a model without loading it: where it is, how large, and what keys and values of a library by it take.

Reads configurations and the heads of weight files; runs nothing and asks nobody. Free of torch.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from tscli import reader
from tscli.errors import TscliError, UsageError
from tscli.model import gguf
from tscli.model.fetch import default_model, here
from tscli.model.gguf import is_gguf, read_converted
from tscli.model.gguf_header import GGUFHeader, read_header
from tscli.model.hub import cached_snapshot
from tscli.model.identity import weights_hash
from tscli.model.known import KNOWN, MILLION, KnownModel, kv_bytes
from tscli.model.options import EMBEDDED

READER = "copies short facts found in one sentence, and no more"
HEAD_LIMIT = 100 << 20  # of a safetensors file's head


@dataclass(frozen=True)
class ModelDetails:
    """A model, here or not (folder None). num_bytes: on disk, or to download; parameters None where no file tells.

    source: "embedded", "hub", "gguf" or "folder"; weights_hash only of a model that is here and was asked for by name.
    """

    name: str
    source: str
    hub_id: str | None
    licence: str | None
    folder: Path | None
    num_bytes: int
    parameters: int | None
    window: int
    layers: int
    kv_heads: int
    head_dim: int
    is_default: bool = False
    note: str = ""
    file: str | None = None
    weights_hash: str | None = None

    def kv_bytes(self, kv_dtype: str) -> int:
        """Bytes that keys and values of one token take: "bfloat16" or "int8"."""
        return kv_bytes(self.layers, self.kv_heads, self.head_dim, kv_dtype)

    def million_bytes(self, kv_dtype: str) -> int:
        """Bytes of a library of a million tokens: keys and values, and a sketch of the keys, a sixteenth of bfloat16's."""
        return MILLION * (self.kv_bytes(kv_dtype) + self.kv_bytes("bfloat16") // 16)


def models() -> list[ModelDetails]:
    """The embedded reader, every known model, and the GGUF files that were converted here."""
    named = [describe_model(name, hashed=False) for name in (EMBEDDED, *KNOWN)]
    folders = {model.folder for model in named}
    others = [found for found in gguf.all_converted() if found.folder not in folders]
    return named + [_of_folder(found.file, found.folder, "gguf", file=found.file) for found in others]


def describe_model(model: str, *, hashed: bool = True) -> ModelDetails:
    """A model by name, folder, .gguf file or hub id; TscliError where there is none, or it is not here and unknown.

    hashed: with its weights_hash, where it is here.
    """
    details = replace(_described(model), is_default=model == default_model())
    if hashed and details.folder is not None:
        return replace(details, weights_hash=weights_hash(details.folder))
    return details


def num_query_heads(model: str) -> int | None:
    """Query heads of a layer of a model that is on this machine, by its configuration; None of another one."""
    try:
        folder = _described(model).folder
        return None if folder is None else int(_config(folder)["num_attention_heads"])
    except (TscliError, OSError, ValueError, KeyError, TypeError):
        return None


def _described(model: str) -> ModelDetails:
    if model == EMBEDDED:
        return replace(_of_folder(EMBEDDED, reader.path(), "embedded"), licence="apache-2.0", note=READER)
    if model in KNOWN:
        return _of_known(KNOWN[model])
    path = Path(model).expanduser().absolute()
    if is_gguf(model):
        found = gguf.converted_of(path)
        return _of_folder(str(path), found.folder, "gguf", file=str(path)) if found else _of_header(read_header(path))
    if path.is_dir():
        return _of_folder(str(path), path, "folder")
    folder = cached_snapshot(model)
    if folder is None:
        raise UsageError(
            f"{model}: neither a folder, a .gguf file nor a downloaded hub model, and no known short name; choose one that "
            "tscli model list shows"
        )
    return replace(_of_folder(model, folder, "hub"), hub_id=model)


def _of_known(known: KnownModel) -> ModelDetails:
    if (folder := here(known.name)) is not None:
        converted = read_converted(folder)
        found = _of_folder(known.name, folder, "gguf" if converted else "hub", file=converted.file if converted else None)
        return replace(found, hub_id=known.hub_id, licence=known.licence, note=known.note)
    return ModelDetails(
        name=known.name,
        source="hub",
        hub_id=known.hub_id,
        licence=known.licence,
        folder=None,
        num_bytes=known.download_bytes,
        parameters=known.parameters,
        window=known.window,
        layers=known.layers,
        kv_heads=known.kv_heads,
        head_dim=known.head_dim,
        note=known.note,
    )


def _of_folder(name: str, folder: Path, source: str, file: str | None = None) -> ModelDetails:
    try:
        config = _config(folder)
        heads = int(config["num_attention_heads"])
        return ModelDetails(
            name=name,
            source=source,
            hub_id=None,
            licence=None,
            folder=folder,
            num_bytes=sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")),
            parameters=_parameters(folder),
            window=int(config["max_position_embeddings"]),
            layers=int(config["num_hidden_layers"]),
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
            file=file,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TscliError(f"{folder}: no config.json of a decoder there; give a folder in Hugging Face layout") from error


def _config(folder: Path) -> dict[str, Any]:
    """A model's config.json, that of its decoder where it has others, too."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {**config, **(config.get("text_config") or {})}


def _of_header(header: GGUFHeader) -> ModelDetails:
    """A GGUF file that was not converted yet."""
    heads, kv_heads = header.of_model("attention.head_count"), header.of_model("attention.head_count_kv")
    if not isinstance(heads, int) or not isinstance(header.of_model("embedding_length"), int):
        raise TscliError(
            f"{header.path} ({header.architecture}): does not say how many attention heads it has, so it is no "
            "decoder that tscli can run; choose another model"
        )
    kv_heads = max(kv_heads) if isinstance(kv_heads, list) else kv_heads or heads
    return ModelDetails(
        name=str(header.path),
        source="gguf",
        hub_id=None,
        licence=header.metadata.get("general.license"),
        folder=None,
        num_bytes=header.path.stat().st_size,
        parameters=header.num_parameters,
        window=int(header.of_model("context_length", 0)),
        layers=int(header.of_model("block_count", 0)),
        kv_heads=int(kv_heads),
        head_dim=int(header.of_model("attention.key_length") or header.of_model("embedding_length") // heads),
        file=str(header.path),
    )


def _parameters(folder: Path) -> int | None:
    """How many weights the safetensors files hold; None where there are none, or one is damaged."""
    shapes = [
        shape for path in folder.glob("*.safetensors") if not path.name.startswith("consolidated") for shape in _shapes(path)
    ]
    return sum(map(prod, shapes)) if shapes and None not in shapes else None  # type: ignore[arg-type]


def _shapes(path: Path) -> Iterator[list[int] | None]:
    """The shape of each tensor of a file, by its head; None where that is damaged."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            head = json.loads(file.read(min(size, HEAD_LIMIT)))
        yield from [entry["shape"] for name, entry in head.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        yield None
