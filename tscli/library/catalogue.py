"""All libraries: list, describe, verify, prune, remove, export, import. Reads manifests; runs no model."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tscli import store
from tscli.library.bytes_per_token import BytesPerToken, bytes_per_token
from tscli.library.kept_heads import load_retrieval_heads
from tscli.model.describe import num_query_heads
from tscli.model.identity import find_again
from tscli.store import LibraryInfo, Manifest, OnBytes, Problem, library_folder, list_libraries, require_manifest

PACKAGES = ("tscli", "torch", "transformers", "tokenizers", "tiktoken", "triton", "pypdf", "numpy", "numba")


@dataclass(frozen=True)
class LibraryDetails:
    """What a library holds; sizes in bytes, documents as the manifest records them.

    dtype: of the model that made it; kv_dtype: of its pages; weights: "int8", or the dtype of the full ones.
    template: "source" of the prompt, "reason" where it is not the model's chat template, "system": the instruction before the
    documents. bytes_per_token: see there.
    """

    name: str
    folder: Path
    model_id: str
    revision: str | None
    dtype: str
    kv_dtype: str
    weights: str
    num_tokens: int
    size_bytes: int
    bytes_per_token: BytesPerToken
    created: str
    updated: str
    documents: list[dict[str, Any]]
    segments: int
    settings: dict[str, Any]
    template: dict[str, Any]


def libraries() -> list[LibraryInfo]:
    """All libraries under the tool's home, by name."""
    return list_libraries()


def info(name: str = "default") -> LibraryDetails:
    """The details of one library; LibraryError when there is none."""
    folder = library_folder(name)
    manifest = require_manifest(folder)
    return LibraryDetails(
        name=manifest.library,
        folder=folder,
        model_id=manifest.fingerprint.model_id,
        revision=manifest.fingerprint.revision,
        dtype=manifest.fingerprint.dtype,
        kv_dtype=manifest.fingerprint.pages_dtype,
        weights=manifest.fingerprint.weights_name,
        num_tokens=manifest.num_tokens,
        size_bytes=store.size_on_disk(folder),
        bytes_per_token=_bytes_per_token(manifest),
        created=manifest.created,
        updated=manifest.updated,
        documents=[dict(document) for document in manifest.documents],
        segments=len(manifest.segments),
        settings=dict(manifest.settings),
        template={name: manifest.template.get(name) for name in ("source", "reason", "system")},
    )


def _bytes_per_token(manifest: Manifest) -> BytesPerToken:
    made = manifest.fingerprint
    sketch = round(manifest.sketch_size / max(1, manifest.num_tokens)) if manifest.sketch_file else None
    heads = load_retrieval_heads(made.model_hash)
    q_heads = num_query_heads(find_again(made.model_id, made.model_hash)) if heads else None
    return bytes_per_token(made, sketch, heads, q_heads, manifest.head_keys)


def verify(name: str = "default") -> list[Problem]:
    """Hash every file of the library; the list of what is wrong, empty when all is well."""
    return store.verify(library_folder(name))


def prune(name: str = "default") -> tuple[int, int]:
    """Remove segments that the library no longer refers to; files and bytes removed."""
    return store.prune(library_folder(name))


def remove(name: str) -> None:
    """Remove a library; others that share segments with it keep theirs."""
    store.remove(library_folder(name))


def export_library(name: str, file: Path, *, force: bool = False, on_bytes: OnBytes | None = None) -> int:
    """Verify a library and write it into one file; its size in bytes. `force` replaces an existing file; on_bytes is called
    with the bytes done and the bytes in all.
    """
    return store.export_library(library_folder(name), file, force=force, on_bytes=on_bytes)


def import_library(
    file: Path, name: str | None = None, *, force: bool = False, on_bytes: OnBytes | None = None
) -> LibraryDetails:
    """Make a library from an archive, under its own name or another; `force` replaces a library of that name; on_bytes is
    called with the bytes done and the bytes in all.

    Every checksum is compared before anything becomes visible; LibraryError for anything but an archive of a whole library.
    Checksums do not tell what its pages hold: import archives only from people whose documents you would trust.
    """
    return info(str(store.import_library(file, name, force=force, on_bytes=on_bytes)))


def versions() -> dict[str, str]:
    """Python and the packages that answers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
