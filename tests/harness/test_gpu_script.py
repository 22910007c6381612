"""`gpu.sh` without a GPU: a checkpoint that came in pieces is joined, compared with its sum, and handed to each command."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """Of a file, in two folders."""
    for number, (ending, part) in enumerate((("aa", CONTENT[:5000]), ("ab", CONTENT[5000:])), start=1):
        folder = tmp_path / "models" / str(number)
        folder.mkdir(parents=True)
        (folder / f"small.gguf.{ending}").write_bytes(part)
    digest = hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / "models" / "1" / "small.gguf.sha256").write_text(f"{digest}  small.gguf\n")
    return tmp_path / "models"


def run(folder: Path, **settings: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The script with a stand-in for Python that notes what it is asked and keeps what it is given; these notes."""
    python, notes = folder / "python", folder / "notes.txt"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {notes}\nfor one in "$@"; do case $one in *.gguf) cp "$one" {folder}/given;; esac; done\n'
    )
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), **settings}
    done = subprocess.run(
        ["bash", "tests/harness/gpu.sh", str(folder / "out")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, notes.read_text().splitlines() if notes.exists() else []


def test_a_checkpoint_in_pieces_is_joined_ingested_asked_and_timed(pieces: Path, tmp_path: Path) -> None:
    done, notes = run(tmp_path, STAGES="checkpoint", CHECKPOINT=str(pieces), DEVICE="cpu", LENGTHS="2k")
    assert done.returncode == 0, done.stderr
    asked = [note.removeprefix("-m tscli ") for note in notes]
    assert [one.split()[0] for one in asked] == ["model", "ingest", "eval", "bench", "-"]
    assert "--device cpu --length 2k" in asked[3]
    assert asked[4].endswith("out/gpu-checkpoint.json")
    assert (tmp_path / "given").read_bytes() == CONTENT


def test_pieces_that_do_not_make_the_whole_are_refused(pieces: Path, tmp_path: Path) -> None:
    (pieces / "2" / "small.gguf.ab").write_bytes(CONTENT[5000:-1])
    _, notes = run(tmp_path, STAGES="checkpoint", CHECKPOINT=str(pieces))
    assert notes == []
    assert "pieces that are not whole" in (tmp_path / "out" / "log.txt").read_text()


def test_without_a_checkpoint_its_stage_is_left_out_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    assert run(tmp_path, STAGES="checkpoint", CHECKPOINT="")[1] == []
    done, _ = run(tmp_path, STAGES="chekpoint")
    assert done.returncode == 2
    assert "no such stage" in done.stderr
