"""With too little memory, disk or file handles a command ends with exit code 5 and one line; the library stays usable."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm import run_tscli

ROOT = Path(__file__).parents[2]
SAMPLE = str(ROOT / "samples" / "faq.html")


def run(home: Path, *arguments: str, limit: tuple[int, int] | None = None, stdout: int | None = None) -> tuple[int, str]:
    if limit is None and stdout is None:
        whole = run_tscli("-q", *arguments, TSCLI_HOME=str(home))
        return whole.returncode, whole.stderr
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    settings = {**os.environ, "TSCLI_HOME": str(home), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "tscli", "-q", *arguments],
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=settings,
        check=False,
        preexec_fn=(lambda: resource.setrlimit(limit[0], (limit[1], limit[1]))) if limit else None,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("size", [1000, 100_000, 700_000])
def test_a_limit_on_the_size_of_files(home: Path, size: int) -> None:
    done = run_tscli("-q", "ingest", SAMPLE, file_size=size, TSCLI_HOME=str(home))
    code, said = done.returncode, done.stderr
    assert (code, said.count("\n")) == (5, 1), said
    assert "make room" in said
    assert run(home, "ingest", SAMPLE)[0] == 0
    assert run(home, "verify")[0] == 0


@pytest.mark.slow
def test_too_few_file_handles(home: Path) -> None:
    code, said = run(home, "ingest", SAMPLE, limit=(resource.RLIMIT_NOFILE, 8))
    assert (code, said.count("\n")) == (5, 1), said
    assert "ulimit -n" in said
    assert run(home, "ingest", SAMPLE)[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing limits a process's memory")
@pytest.mark.parametrize("megabytes", [200, 400])  # below, OpenBLAS ends the process by itself while numpy is imported
def test_too_little_memory(home: Path, megabytes: int) -> None:
    assert run(home, "ingest", SAMPLE)[0] == 0
    code, said = run(home, "ask", "Who?", "--no-history", limit=(resource.RLIMIT_AS, megabytes << 20))
    assert (code, said.count("\n")) == (5, 1), said
    assert "memory" in said
    assert run(home, "ask", "Who?", "--max-new-tokens", "2")[0] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_behind_standard_output_and_behind_a_report(home: Path) -> None:
    assert run(home, "ingest", SAMPLE)[0] == 0
    with open("/dev/full", "w") as full:
        assert run(home, "list", stdout=full.fileno())[0] == 5
    assert run(home, "ask", "Who?", "--max-new-tokens", "2", "--html", "/dev/full")[0] == 5
