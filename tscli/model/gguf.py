"""A GGUF file as a folder in Hugging Face layout: dequantised once into the user's cache, found again by the file's SHA-256.

Knows where conversions lie and how they stay whole under concurrent and interrupted runs; `gguf_convert` does the work.
Imports nothing heavy, so that a model that was converted before loads as fast as any folder's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock

from tscli.durable_files import place_folder, replacing
from tscli.errors import ResourceError, UsageError
from tscli.model.gguf_header import OnStep, read_header
from tscli.paths import cache

MARKER = "tscli-gguf.json"
NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
CONVERSION = 1  # raised whenever the same file would give other weights or tokens
ENDING = ".gguf"
WORTH_A_WORD = 64 << 20  # bytes: smaller files are read in no time
BLOCK = 1 << 20
MAX_BLOCKS = 16


@dataclass(frozen=True)
class Converted:
    """What a converted folder says of itself. file: the GGUF file that it was made of, as it was named then; dtype: of the
    weights as stored; weights_hash: what libraries know the model by, see `identity.weights_hash`."""

    folder: Path
    sha256: str
    file: str
    dtype: str
    conversion: int
    weights_hash: str
    notes: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """What the folder takes on disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())


def is_gguf(model: str) -> bool:
    """Whether a model's name is that of a GGUF file, there or not."""
    path = Path(model).expanduser()
    return path.suffix.lower() == ENDING and not path.is_dir()


def gguf_folder(file: Path, on_step: OnStep | None = None) -> Path:
    """The folder of a GGUF file's model, converted now where it was not before.

    A file that is gone is found by what was converted of it under this path. UsageError, ResourceError or TscliError say what
    is wrong with it; an interrupted conversion leaves nothing that is taken for whole.
    """
    file = file.expanduser().absolute()
    sha256 = file_sha256(file, on_step) if file.is_file() else _last_known(file)
    if sha256 is None:
        raise UsageError(f"{file}: no such file; give a .gguf file, a model folder or a hub id with --model")
    found = find_converted(sha256)
    if found is None and not file.is_file():
        raise UsageError(f"{file}: no such file, and what was converted of it is gone; give the .gguf file with --model")
    return found.folder if found else convert_file(file, sha256, on_step)


def converted_of(file: Path) -> Converted | None:
    """What was converted of a GGUF file, which may be gone by now; None where nothing was. Converts nothing."""
    file = file.expanduser().absolute()
    sha256 = file_sha256(file) if file.is_file() else _last_known(file)
    return find_converted(sha256) if sha256 else None


def find_converted(sha256: str) -> Converted | None:
    """What was converted of the file with this SHA-256, None where nothing was or it is not whole."""
    return read_converted(_folder(sha256))


def all_converted() -> list[Converted]:
    """Every conversion in the cache, by the name of its file."""
    folders = [path.parent for path in (cache() / "gguf").glob(f"*/{MARKER}") if not path.parent.name.startswith(".")]
    found = [converted for converted in map(read_converted, folders) if converted is not None]
    return sorted(found, key=lambda converted: (Path(converted.file).name, converted.sha256, converted.conversion))


def remove_converted(converted: Converted) -> int:
    """Remove a conversion; the bytes that are free now. Who has it open keeps it until then."""
    with _lock(converted.sha256):
        size, gone = converted.num_bytes, converted.folder.with_name(f".{converted.folder.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)  # what an interrupted removal left
        os.replace(converted.folder, gone)  # so that nobody finds half of it
        shutil.rmtree(gone)
    return size


def read_converted(folder: Path) -> Converted | None:
    """What a folder says of the GGUF file that it was converted from; None where it is no such folder, or not whole."""
    if not all((folder / name).is_file() for name in (MARKER, *NEEDED)):
        return None
    content = _read_json(folder / MARKER)
    try:
        fields = {name: str(content[name]) for name in ("sha256", "file", "dtype", "weights_hash")}
        return Converted(folder, **fields, conversion=int(content["conversion"]), notes=tuple(content["notes"]))
    except (KeyError, TypeError, ValueError):
        return None


def file_sha256(file: Path, on_step: OnStep | None = None) -> str:
    """The SHA-256 of a GGUF file, remembered by its path, size and time of change; errors as of `read_header`."""
    status = file.stat()
    seen = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    known = _read_json(_files()).get(str(file))
    if isinstance(known, dict) and {name: known.get(name) for name in seen} == seen and isinstance(known.get("sha256"), str):
        return str(known["sha256"])
    read_header(file)  # what is no GGUF file, or half of one, is told at once
    digest, done = hashlib.sha256(), 0
    with file.open("rb") as opened:
        while block := opened.read(1 << 22):
            digest.update(block)
            done += len(block)
            if on_step and status.st_size > WORTH_A_WORD:
                on_step(f"reading {file.name}", done, status.st_size)
    remember(_files(), {str(file): {**seen, "sha256": digest.hexdigest()}})
    return digest.hexdigest()


def conversion_hash(folder: Path, sha256: str, conversion: int) -> str:
    """What libraries know a converted model by: the file it was made of and its weights, not the configuration, which another
    version of transformers writes otherwise."""
    weights = folder / "model.safetensors"
    return hashlib.sha256(f"gguf {sha256} {conversion} {weights.stat().st_size} {sampled(weights)}".encode()).hexdigest()


def sampled(path: Path) -> str:
    """XXH3-128 of up to 16 evenly spaced MiB of a file."""
    size = path.stat().st_size
    last = max(0, size - BLOCK)
    offsets = range(0, size, BLOCK) if size <= BLOCK * MAX_BLOCKS else [last * i // (MAX_BLOCKS - 1) for i in range(MAX_BLOCKS)]
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset, os.SEEK_SET)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()


def remember(path: Path, entries: dict[str, Any]) -> None:
    """Put entries into a small JSON file of the cache (None removes one); others may do so at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(path.with_name(f".{path.name}.lock")):
        content = {name: value for name, value in {**_read_json(path), **entries}.items() if value is not None}
        with replacing(path) as file:
            file.write(json.dumps(content, indent=1).encode())


def recall(path: Path) -> dict[str, Any]:
    """What `remember` put there; nothing where there is no such file, or a broken one."""
    return _read_json(path)


def convert_file(file: Path, sha256: str, on_step: OnStep | None, *, origin: str | None = None) -> Path:
    """Convert a GGUF file whose SHA-256 is known; the folder. Where others convert it, too, all wait for the first.

    origin: what is said of where it comes from, its path by default.
    """
    from tscli.model.gguf_convert import convert

    header, target = read_header(file), _folder(sha256)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    needed, free = 2 * header.num_parameters + (64 << 20), shutil.disk_usage(target.parent).free
    if needed > free:
        raise ResourceError(
            f"{file}: {needed:,} bytes are needed to convert it, {free:,} are free in {target.parent}; make room, or put "
            "the cache elsewhere with TSCLI_CACHE"
        )
    with _lock(sha256):
        if (found := read_converted(target)) is not None:  # another process was sooner
            return found.folder
        part = target.with_name(f".{target.name}.part")
        for leftover in (part, target):  # of an interrupted run; or a folder of which something was deleted
            shutil.rmtree(leftover, ignore_errors=True)
        part.mkdir(mode=0o700)
        try:
            dtype, notes = convert(header, part, on_step)
            marker = asdict(Converted(target, sha256, origin or str(file), dtype, CONVERSION, "", tuple(notes)))
            marker["weights_hash"] = conversion_hash(part, sha256, CONVERSION)
            del marker["folder"]
            (part / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")
            place_folder(part, target)
        except OSError as error:
            raise _explained(file, target, error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def _explained(file: Path, target: Path, error: OSError) -> Exception:
    return ResourceError(
        f"{file}: cannot be converted into {target.parent} ({error.strerror or error}); make room, or put the cache elsewhere "
        "with TSCLI_CACHE"
    )


def _lock(sha256: str) -> FileLock:
    folder = _folder(sha256)
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def _folder(sha256: str) -> Path:
    return cache() / "gguf" / f"{sha256[:32]}-{CONVERSION}"


def _files() -> Path:
    return cache() / "gguf" / "files.json"


def _last_known(file: Path) -> str | None:
    known = _read_json(_files()).get(str(file))
    return str(known["sha256"]) if isinstance(known, dict) and "sha256" in known else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
