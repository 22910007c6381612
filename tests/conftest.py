"""A small random model with the embedded reader's tokenizer, and a home for libraries that is thrown away."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.model.architectures import save_small_model
from tests.pretend_cuda import pretended_cuda  # noqa: F401 - a fixture

# No model of this machine's is anybody's default; also where a fixture of a module runs, before any test's own folder is set.
os.environ["TSCLI_CACHE"] = str(Path(tempfile.gettempdir()) / "tscli-tests-without-models")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports triton


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="there is no GPU here"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("TSCLI_HOME", str(folder))
    monkeypatch.setenv("TSCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TSCLI_CONFIG", os.devnull)
    return folder


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random float32 Llama in Hugging Face layout; its selection is small, so that tests select."""
    folder = tmp_path_factory.mktemp("model")
    save_small_model(folder)
    return folder


@pytest.fixture
def write_documents(tmp_path: Path) -> Callable[..., Path]:
    """Writes documents of so many words each into a folder, different for each seed."""

    def write(name: str = "docs", words: int = 400, files: tuple[str, ...] = ("a.txt", "b.txt", "c.txt")) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for file in files:
            text = " ".join(f"{file[0]}{number * 7919 % 1000} stone" for number in range(words))
            (folder / file).write_text(f"The {file} begins here. {text}\n")
        return folder

    return write
