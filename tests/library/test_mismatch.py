"""A library is not answered from by anything but what made it: each difference is refused by its name, with exit code 4."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import tscli
from tests.store.conftest import edit_manifest
from tscli.cli.app import run
from tscli.store import require_manifest


def change_weights(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.5
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def change_rotation(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 5e5
    (model / "config.json").write_text(json.dumps(config))


def change_tokenizer(model: Path) -> None:
    path = model / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[300:302]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content))


@pytest.fixture
def model(small_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_model, tmp_path / "model"))


@pytest.fixture
def library(model: Path, write_documents: Callable[..., Path]) -> Path:
    load = tscli.LoadOptions(str(model), dtype="float32", device="cpu")
    return tscli.prepare([write_documents(words=40)], load=load).run().folder


@pytest.mark.parametrize(
    ("change", "words"),
    [(change_weights, "model hash"), (change_rotation, "rope"), (change_tokenizer, "tokenizer hash")],
)
def test_a_model_that_changed_where_it_lies_is_refused(
    library: Path, model: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], words: str
) -> None:
    change(model)
    assert run(["ask", "Where?", "--device", "cpu"]) == 4
    printed = capsys.readouterr()
    assert words in printed.err
    assert "ingest again under another --library" in printed.err
    assert printed.out == ""


def test_a_newer_format_is_refused(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_manifest(library, lambda manifest: manifest.update(format_version=99))
    assert run(["ask", "Where?"]) == 4
    assert "format version 99, this tscli reads 1 to 4" in capsys.readouterr().err


def other_layout(manifest: dict[str, Any]) -> None:
    """As a version of tscli would have written it that lays pages out otherwise."""
    manifest.update(format_version=3)
    manifest["fingerprint"].update(kv_layout=2)


def test_another_layout_of_keys_is_refused_by_its_name(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_manifest(library, other_layout)
    assert run(["ask", "Where?", "--device", "cpu"]) == 4
    printed = capsys.readouterr()
    assert "keeps its keys and values in layout 2, this tscli reads layout 1" in printed.err
    assert "recompute it with: tscli ingest PATH --library default" in printed.err
    assert printed.out == ""


def test_a_library_that_says_no_layout_is_refused_once_another_is_in_use(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tscli.store.manifest.KV_LAYOUT_VERSION", 2)
    assert run(["ask", "Where?", "--device", "cpu"]) == 4
    assert "in layout 1, this tscli reads layout 2" in capsys.readouterr().err


def test_an_ingest_recomputes_segments_of_another_layout(
    library: Path, model: Path, write_documents: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tscli.store.manifest", "tscli.library.layout"):
        monkeypatch.setattr(f"{module}.KV_LAYOUT_VERSION", 2)
    documents, load = write_documents(words=40), tscli.LoadOptions(str(model), dtype="float32", device="cpu")
    report = tscli.prepare([documents], load=load).run()
    assert (report.folder, report.cached_tokens) == (library, 0)
    assert require_manifest(library).fingerprint.kv_layout == 2
    assert run(["ask", "Where?", "--device", "cpu", "--max-new-tokens", "2", "--stats", "none"]) == 0


def test_another_revision_of_a_hub_model_is_refused_by_its_name(
    model: Path,
    tmp_path: Path,
    write_documents: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    revisions = {"one": model, "two": Path(shutil.copytree(model, tmp_path / "two"))}
    change_weights(revisions["two"])
    monkeypatch.setattr("tscli.model.identity.snapshot", lambda _, revision, **options: revisions[revision or "one"])
    load = tscli.LoadOptions("org/small", "one", "float32", "cpu")
    tscli.prepare([write_documents(words=40)], load=load).run()
    for_ask = ["ask", "Where?", "--device", "cpu", "--max-new-tokens", "2", "--stats", "none"]
    assert run(for_ask) == 0  # the library knows which one
    assert run([*for_ask, "--model", "org/small", "--revision", "two"]) == 4
    assert "made by org/small at one and does not match org/small at two: model hash" in capsys.readouterr().err
