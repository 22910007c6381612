"""An ingest that is killed goes on where it was, and ends with what an undisturbed one makes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tscli

KILLED_AT = 1500  # tokens, in the third segment
PROGRAM = """
import sys, tscli
import tscli.ingest.ingest as ingest
ingest.SEGMENT_TOKENS = 512
load = tscli.LoadOptions(sys.argv[1], dtype="float32", device="cpu")
tscli.prepare([sys.argv[2]], load=load).run(lambda done, total, seconds: print(done, flush=True))
"""


def start(model: Path, docs: Path, home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TSCLI_HOME": str(home)}
    command = [sys.executable, "-c", PROGRAM, str(model), str(docs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "libraries" / "default" / "segments").glob("*.pt")}


def test_a_killed_ingest_resumes_and_ends_bit_identical(
    small_model: Path, write_documents: Callable[..., Path], tmp_path: Path
) -> None:
    docs, home, undisturbed = write_documents(words=800), tmp_path / "killed", tmp_path / "undisturbed"
    process = start(small_model, docs, home)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= KILLED_AT:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    time.sleep(0.05)
    committed = len(files(home))
    assert committed >= KILLED_AT // 512
    resumed = start(small_model, docs, home)
    lines = resumed.communicate()[0].split()
    assert resumed.returncode == 0
    assert start(small_model, docs, undisturbed).wait() == 0
    assert files(home) == files(undisturbed)
    assert not list((home / "libraries" / "default").rglob("*.tmp*"))
    assert int(lines[-1]) == tscli_total(undisturbed) - 512 * committed


def tscli_total(home: Path) -> int:
    from tscli.store import read_manifest

    manifest = read_manifest(home / "libraries" / "default")
    assert manifest is not None
    assert tscli.__version__
    return manifest.num_tokens
