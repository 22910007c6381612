"""A GGUF file is converted once, found again by its content, and never half."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.model.gguf_files import make_llama, write_llama
from tscli.errors import ResourceError, UsageError
from tscli.model import gguf
from tscli.model.decoder import Decoder
from tscli.model.gguf import MARKER, all_converted, gguf_folder, read_converted
from tscli.model.identity import fetch_model, find_again, locate, weights_hash
from tscli.model.llama import LlamaDecoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions


@pytest.fixture(scope="module")
def llama() -> Any:
    return make_llama()


@pytest.fixture
def file(tmp_path: Path, llama: Any) -> Path:
    return write_llama(tmp_path / "small.gguf", llama)


def load(path: Path) -> Decoder:
    return load_decoder(LoadOptions(str(path), dtype="float32", device="cpu"))


def test_it_is_converted_once_and_found_again_by_its_content(file: Path, tmp_path: Path) -> None:
    told: list[str] = []
    folder = gguf_folder(file, lambda text, done, total: told.append(text))
    assert {"tokenizer", "weights", "writing"} <= set(told)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    told.clear()
    copy = tmp_path / "copy of it.GGUF"
    copy.write_bytes(file.read_bytes())
    assert gguf_folder(file, lambda text, done, total: told.append(text)) == gguf_folder(copy) == folder
    assert told == []  # not even its hash is computed again
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_another_file_under_the_same_name_is_another_model(file: Path) -> None:
    first = gguf_folder(file)
    write_llama(file, make_llama(seed=9))
    assert gguf_folder(file) != first


def test_a_file_that_is_gone_is_found_by_what_was_converted_of_it(file: Path) -> None:
    folder, model_hash = gguf_folder(file), load(file).hash
    file.rename(file.with_name("elsewhere.gguf"))
    assert locate(str(file)) == folder
    assert find_again(str(file), model_hash) == str(file)
    (gguf.cache() / "gguf" / "files.json").unlink()
    assert find_again(str(file), model_hash) == str(folder)
    assert locate(str(folder)) == folder
    with pytest.raises(UsageError, match="no such file"):
        locate(str(file))


def test_a_library_knows_it_by_its_content_not_by_how_transformers_writes_a_configuration(file: Path) -> None:
    folder = gguf_folder(file)
    before = weights_hash(folder)
    marker = read_converted(folder)
    assert marker is not None
    assert marker.weights_hash == before
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "a field of a later version": 1}))
    assert weights_hash(folder) == before
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert weights_hash(folder) != before


def test_the_same_file_gives_the_same_weights_every_time(file: Path) -> None:
    first = weights_hash(folder := gguf_folder(file))
    (folder / MARKER).unlink()  # not whole any more: made anew
    assert weights_hash(gguf_folder(file)) == first


def convert_in_a_process(path: str, slow: bool) -> None:
    gguf_folder(Path(path), (lambda *_: time.sleep(0.2)) if slow else None)


@pytest.mark.slow
def test_conversions_at_the_same_time_do_not_break_each_other(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=convert_in_a_process, args=(str(file), False)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert isinstance(load(file), LlamaDecoder)
    assert len(all_converted()) == 1


def test_an_interrupted_conversion_leaves_nothing_that_is_taken_for_whole(file: Path) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=convert_in_a_process, args=(str(file), True))
    worker.start()
    assert worker.pid is not None
    deadline = time.monotonic() + 120
    while not list((gguf.cache() / "gguf").glob(".*.part/tokenizer.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert all_converted() == []
    assert list((gguf.cache() / "gguf").glob(".*.part"))  # what the killed one left
    assert isinstance(load(file), LlamaDecoder)
    assert list((gguf.cache() / "gguf").glob(".*.part")) == []


def test_a_full_disk_is_said_before_anything_is_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ResourceError, match="TSCLI_CACHE"):
        fetch_model(LoadOptions(str(file)))
    assert all_converted() == []
