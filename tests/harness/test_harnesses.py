"""A few runs of each harness; many more with `python tests/harness/NAME.py --runs N`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("harness", "runs"), [("killed", 12), ("corrupted", 25), ("crowded", 1)])
def test_a_few_runs_end_well(harness: str, runs: int) -> None:
    command = [sys.executable, f"{harness}.py", "--runs", str(runs)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{harness}: ")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_server_under_load_gives_right_answers_or_proper_errors() -> None:
    pytest.importorskip("uvicorn", reason="the server needs an extra")
    load = ["--seconds", "16", "--clients", "8", "--limit", "4", "--queue", "4"]
    done = subprocess.run([sys.executable, "serve_load.py", *load], cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"right"' in done.stdout
    assert '"cut by the kill"' in done.stdout
