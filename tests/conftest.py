"""A small random model with the embedded reader's tokenizer, and a home for libraries that is thrown away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.model.architectures import make_model
from tscli import reader

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports triton


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("TSCLI_HOME", str(folder))
    monkeypatch.setenv("TSCLI_CONFIG", os.devnull)
    return folder


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random float32 Llama in Hugging Face layout; its selection is small, so that tests select."""
    folder = tmp_path_factory.mktemp("model")
    vocab = json.loads((reader.path() / "config.json").read_text())["vocab_size"]
    model = make_model("llama")
    model.resize_token_embeddings(vocab)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(reader.path() / name, folder / name)
    (folder / "tscli.json").write_text(json.dumps({"selection": {"k": 48, "n_init": 4, "n_local": 16, "chunk": 32, "pool": 3}}))
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
