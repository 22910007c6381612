"""A hub model's files: from the cache where they are whole there, without a word to the network; else downloaded.

Free of torch, so that the command line can download before it shows anything else.
"""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from tscli.errors import ResourceError, TscliError, UsageError

PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
DOUBLES = ["consolidated*"]  # the weights of the shards once more, in one file
OnDownload = Callable[[Path], None]
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def snapshot(
    model: str,
    revision: str | None = None,
    *,
    progress: bool = False,
    on_download: OnDownload | None = None,
    patience_s: float | None = None,
) -> Path:
    """The folder of a hub model's files. progress: the hub client's bars on a terminal, where something is downloaded;
    on_download is told before that, with the folder of the cache. patience_s: by when the hub must have answered a first time.

    A cached model is taken as it is, so that a library's model does not change under it; another --revision, or clearing the
    cache, brings a newer one. Raises TscliError that says why there is none and what to do, ResourceError on a full disk.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # the client reads it when it is imported
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=PATTERNS, local_files_only=True))
        if is_whole(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise UsageError(f"{model}: neither a folder nor a hub id such as owner/name; give one of them with --model") from error
    try:
        if patience_s is not None and not constants.HF_HUB_OFFLINE:
            _ask(model, revision, patience_s)
        if on_download is not None and not constants.HF_HUB_OFFLINE:
            on_download(Path(constants.HF_HUB_CACHE))
        _show_bars(progress)
        return Path(snapshot_download(model, revision=revision, allow_patterns=PATTERNS, ignore_patterns=DOUBLES))
    except Exception as error:  # the hub's client raises many kinds, from offline to not found
        raise _explained(model, revision, error) from error
    finally:
        _show_bars(False)


def cached_snapshot(model: str) -> Path | None:
    """The folder of a hub model that was downloaded whole; None where it was not. Asks nobody."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, allow_patterns=PATTERNS, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if is_whole(folder) else None


def forbids_downloads() -> bool:
    """Whether HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def remove_snapshot(model: str, folder: Path) -> int:
    """Remove a snapshot of a hub model from the hub client's cache; bytes that are free now."""
    from huggingface_hub import scan_cache_dir

    found = scan_cache_dir()
    revisions = [
        revision.commit_hash
        for repo in found.repos
        if repo.repo_id == model
        for revision in repo.revisions
        if revision.snapshot_path == folder
    ]
    plan = found.delete_revisions(*revisions)
    plan.execute()
    return int(plan.expected_freed_size)


def is_whole(folder: Path) -> bool:
    """Whether nothing that is needed is missing; a download that was interrupted leaves some of the files."""
    if not (folder / "config.json").is_file() or not any((folder / name).is_file() for name in TOKENIZERS):
        return False
    try:
        shards = [
            name
            for index in folder.glob("*.safetensors.index.json")
            for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        ]
    except (OSError, ValueError, KeyError):
        return False
    weights = [folder / name for name in shards] or list(folder.glob("*.safetensors"))
    return bool(weights) and all(path.is_file() for path in weights)


def _ask(model: str, revision: str | None, patience_s: float) -> None:
    """Whether the hub gives this model, answered soon: a download would wait for a network that is not there for minutes."""
    from huggingface_hub import HfApi

    HfApi().model_info(model, revision=revision, timeout=patience_s)


def _show_bars(wanted: bool) -> None:
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HF_HUB_DISABLE_PROGRESS_BARS has the last word, and need not be told
        (enable_progress_bars if wanted else disable_progress_bars)()


def _explained(model: str, revision: str | None, error: Exception) -> TscliError:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{model}: no space left for the download; make room, or put the cache elsewhere with HF_HOME")
    if constants.HF_HUB_OFFLINE:
        return TscliError(
            f"{model}: not whole in the cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids a download; unset it to "
            "download the model once, or give a folder with --model"
        )
    if isinstance(error, GatedRepoError):
        return TscliError(
            f"{model}: its owner gives it only to those who accept its terms; accept them at https://huggingface.co/{model}, "
            "then log in with: hf auth login"
        )
    if isinstance(error, RepositoryNotFoundError):
        return TscliError(
            f"{model}: neither a folder nor a model on the hub that you may read; check the name, or log in with: hf auth login"
        )
    if isinstance(error, RevisionNotFoundError):
        return TscliError(f"{model}: the hub has no revision {revision}; check --revision")
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return TscliError(
        f"{model}: neither a folder nor whole in the cache ({constants.HF_HUB_CACHE}), and the hub could not "
        f"provide it ({first}); "
        "go online once to download it, or give a folder with --model"
    )
