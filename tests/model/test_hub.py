"""Hub models without a hub: the client's download is replaced."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, errors
from huggingface_hub.utils import are_progress_bars_disabled

import tscli
from tests.store.conftest import FINGERPRINT, fill, tokens
from tscli.cli.app import run
from tscli.errors import ResourceError, TscliError, UsageError
from tscli.model.hub import is_whole
from tscli.store import library_folder

ROOT = Path(__file__).parents[2]
NOT_CACHED = errors.LocalEntryNotFoundError("Cannot find an appropriate cached snapshot folder")
Hub = Callable[..., list[dict[str, Any]]]


def http(kind: type[Exception]) -> Exception:
    """An error of the hub's client, as an answer with this meaning makes it."""
    return kind("no", response=SimpleNamespace(headers={}, request=None))  # type: ignore[call-arg]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Replaces the hub: what its cache holds, and what a download gives; the calls that were made."""

    def replace(cached: Path | Exception, downloaded: Path | Exception | None = None) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def snapshot_download(model: str, **options: Any) -> str:
            calls.append({"model": model, "bars": not are_progress_bars_disabled(), **options})
            given = cached if options.get("local_files_only") else downloaded
            assert given is not None, "nothing should be downloaded"
            if isinstance(given, Exception):
                raise given
            return str(given)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        return calls

    return replace


def fetch(progress: bool = False) -> Path:
    return tscli.fetch_model(tscli.LoadOptions("some/model", "v1"), progress=progress)


def test_a_model_that_is_cached_whole_is_taken_without_asking_the_hub(hub: Hub, whole: Path) -> None:
    calls = hub(whole)
    assert fetch() == whole
    assert [(call["model"], call["revision"], call["local_files_only"]) for call in calls] == [("some/model", "v1", True)]


@pytest.mark.parametrize("progress", [True, False])
def test_a_model_that_is_not_cached_is_downloaded_with_bars_where_they_are_wanted(
    hub: Hub, whole: Path, progress: bool
) -> None:
    calls = hub(NOT_CACHED, whole)
    assert fetch(progress) == whole
    assert calls[-1]["bars"] is progress
    assert are_progress_bars_disabled()


def test_a_download_is_told_with_the_folder_that_it_goes_to_and_nothing_else_is(
    hub: Hub, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Path] = []
    load = tscli.LoadOptions("some/model")
    hub(NOT_CACHED, whole)
    tscli.fetch_model(load, on_download=told.append)
    assert told == [Path(constants.HF_HUB_CACHE)]
    hub(whole)
    tscli.fetch_model(load, on_download=told.append)
    hub(NOT_CACHED, NOT_CACHED)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TscliError, match="HF_HUB_OFFLINE"):
        tscli.fetch_model(load, on_download=told.append)
    assert len(told) == 1


@pytest.mark.parametrize("command", [["ask", "Who?"], ["evidence", "Who?"], ["chat"]])
def test_a_librarys_own_model_is_downloaded_where_it_is_gone(
    hub: Hub, small_model: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(library_folder("default"), tokens(20), replace(FINGERPRINT, model_id="some/model", revision="v1"))
    calls = hub(NOT_CACHED, small_model)
    assert run(command) == 4  # what was downloaded is another model than the one that made the library
    assert [(call["model"], call["revision"]) for call in calls][:2] == [("some/model", "v1")] * 2
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == f"some/model is not on this machine yet: downloading it into {constants.HF_HUB_CACHE}"


@pytest.mark.parametrize("lost", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_interrupted_download_is_taken_up(hub: Hub, whole: Path, tmp_path: Path, lost: str) -> None:
    part = tmp_path / "part"
    part.mkdir()
    for path in whole.iterdir():
        if path.name != lost:
            (part / path.name).write_text("{}")
    assert len(hub(part, whole)) == 0
    assert fetch() == whole


def test_every_shard_of_the_weights_must_be_there(whole: Path) -> None:
    index = whole / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    (whole / "one.safetensors").touch()
    assert not is_whole(whole)
    (whole / "two.safetensors").touch()
    assert is_whole(whole)
    index.write_text("{")
    assert not is_whole(whole)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.LocalEntryNotFoundError("Got: ConnectError: refused"), "could not provide it .*refused.*go online once"),
        (http(errors.RepositoryNotFoundError), "check the name, or log in"),
        (http(errors.GatedRepoError), "accept them at https://huggingface.co/some/model"),
        (http(errors.RevisionNotFoundError), "no revision v1; check --revision"),
        (ValueError(), "could not provide it .ValueError."),
    ],
)
def test_what_the_hub_does_not_give_is_explained(hub: Hub, error: Exception, words: str) -> None:
    hub(NOT_CACHED, error)
    with pytest.raises(TscliError, match=f"^some/model: .*{words}"):
        fetch()


def test_a_full_disk_and_a_name_that_is_none_are_errors_of_their_own(hub: Hub) -> None:
    hub(NOT_CACHED, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(ResourceError, match="HF_HOME"):
        fetch()
    hub(errors.HFValidationError("Repo id must use alphanumeric chars"))
    with pytest.raises(UsageError, match="neither a folder nor a hub id"):
        fetch()


@pytest.mark.parametrize("command", [("ingest", "README.md", "--dry-run"), ("ask", "Who?"), ("doctor",)])
def test_offline_without_a_cached_copy_says_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")])
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "TSCLI_HOME": str(tmp_path), "PYTHONPATH": path}
    arguments = [sys.executable, "-m", "tscli", *command, "--model", "some/model"]
    done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, **settings}, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("tscli: some/model: not whole in the cache")
    assert "HF_HUB_OFFLINE forbids a download; unset it" in done.stderr
    assert len(done.stderr.splitlines()) == 1
