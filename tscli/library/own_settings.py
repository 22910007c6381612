"""The settings that a library keeps: the format of its pages, its model and weights, and the prompt before its documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tscli.errors import DamagedLibrary, LibraryError, UsageError
from tscli.library.kv_dtype import KV_DTYPES, KVDtype
from tscli.model.fetch import default_model
from tscli.model.identity import find_again, full_name
from tscli.model.known import DEFAULT
from tscli.model.options import EMBEDDED, LoadOptions
from tscli.store import Fingerprint, library_folder, read_manifest, require_manifest
from tscli.tokens import Template, Tokenizer, load_template, template_of

SHOWN = 60  # characters of an instruction in an error


def fingerprint_there(folder: Path) -> Fingerprint | None:
    """The fingerprint of the library in this folder; None where there is none, or its manifest is damaged."""
    try:
        manifest = read_manifest(folder)
    except DamagedLibrary:
        return None
    return manifest.fingerprint if manifest else None


def choose_template(tokenizer: Tokenizer, system: str | None, folder: Path) -> Template:
    """What stands around documents and questions: as the library in this folder has it, or for a new one as the model wants it.

    system: the instruction before the documents that is asked for, None: none in particular. Raises LibraryError where the
    library was made with another one, which its keys and values are behind.
    """
    try:
        manifest = read_manifest(folder)
    except DamagedLibrary:
        manifest = None
    if manifest is None or manifest.fingerprint.tokenizer_hash != tokenizer.hash:
        return load_template(tokenizer, system)
    held = template_of(manifest.template, tokenizer)
    if system not in (None, held.system) and load_template(tokenizer, system).prefix != held.prefix:
        mine = "without an instruction" if not held.system else f"after the instruction {_short(held.system)}"
        raise LibraryError(
            f"library {manifest.library} was made {mine}; --system {_short(system or '')} does not fit it; leave that out, or "
            "choose another --library"
        )
    return held


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


def choose_model(load: LoadOptions, held: Fingerprint | None) -> LoadOptions:
    """The model by which documents are run into a library: the given one, the library's own as it was run, or for a new one
    the default."""
    if load.model is None and held is not None:
        return replace(own_model(load, held), dtype=held.dtype if load.dtype == "auto" else load.dtype)
    return replace(load, model=full_name(load.model))


def better_model_hint(load: LoadOptions, held: Fingerprint | None = None) -> list[str]:
    """A line where nothing better than the embedded reader is chosen for want of another: which it is, and how to get one."""
    if load.model is not None or held is not None or default_model() != EMBEDDED:
        return []
    return [
        f"the embedded reader answers, which only copies short facts; tscli model get {DEFAULT} downloads a better model, "
        "which is then the default"
    ]


def own_model(load: LoadOptions, own: Fingerprint) -> LoadOptions:
    """The same with the model that made a library, by the name that leads to it here."""
    return replace(load, model=find_again(own.model_id, own.model_hash), revision=own.revision)


def library_model(library: str) -> LoadOptions:
    """The model that made a library; LibraryError where there is none."""
    return own_model(LoadOptions(), require_manifest(library_folder(library)).fingerprint)


def planned_model(load: LoadOptions, library: str) -> LoadOptions:
    """The model that an ingest into this library will run."""
    return choose_model(load, fingerprint_there(library_folder(library)))


def choose_weights(load: LoadOptions, library: str, held: Fingerprint | None) -> LoadOptions:
    """By which weights documents are run into a library: as it was made, or for a new one as asked for.

    Raises LibraryError where the library was made by others.
    """
    if held is None:
        return load
    if load.weights == "auto":
        return replace(load, weights=held.weights or "auto")
    if held.weights != (load.weights if load.weights == "int8" else None):
        raise LibraryError(
            f"library {library} was made with the model's {held.weights or 'full'} weights; --weights {load.weights} does not "
            "fit it; leave that out (questions may be asked with others), or choose another --library"
        )
    return load


def choose_kv_dtype(chosen: KVDtype, library: str, held: Fingerprint | None) -> KVDtype:
    """What pages are kept in: as the library has it, or for a new one as asked for.

    Raises LibraryError where the library has another, UsageError for one that there is not.
    """
    if chosen not in KV_DTYPES:
        raise UsageError(f"--kv-dtype {chosen}: choose {', '.join(KV_DTYPES)}")
    if held is None:
        return chosen
    own: KVDtype = {"bfloat16": "bf16", "int8": "int8"}.get(held.pages_dtype, "model")  # type: ignore[assignment]
    fitting = {"auto", own} if held.kv_dtype else {"auto", own, "model"}
    if chosen not in fitting:
        raise LibraryError(
            f"library {library} keeps its pages in {held.pages_dtype}; --kv-dtype {chosen} does not fit it; leave that out, or "
            "choose another --library"
        )
    return own if chosen == "auto" else chosen
