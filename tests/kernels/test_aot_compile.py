"""Every kernel compiles to machine code for GPUs that are not here, without spilling."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed here (it is for Linux)")
ROOT = Path(__file__).parents[2]


def test_every_kernel_compiles_for_sm_80_and_sm_90_without_spills() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(ROOT / "kernels"), "TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, "-m", "tscli_kernels.cuda.aot_compile"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\w+(?: \w+)*?)  +(\w+ \d+ group \d+) +(sm_\d+) +(\d+) +(\d+)$", done.stdout, re.MULTILINE)
    assert {row[2] for row in rows} == {"sm_80", "sm_90"}
    attends = {f"attend {size}{kind}" for size in ("step", "chunk") for kind in ("", " capped", " partial")}
    histograms = {f"histogram {digit}" for digit in ("first", "second", "last")}
    assert {row[0] for row in rows} == {
        *attends, *histograms, "choose 10", "choose 11", "combine", "count", "score", "score head",
        "score head int8", "score int8", "sketch", "vote", "write",
    }  # fmt: skip
    assert {row[1].split()[0] for row in rows} == {"bf16", "fp16", "fp32"}
    assert all(0 < int(row[3]) <= 255 and int(row[4]) == 0 for row in rows)
