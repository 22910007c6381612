"""Start a module of ours in a process of its own, with a pipe to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[1]


def start(
    module: str, *arguments: object, stderr: int = subprocess.DEVNULL, environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], Connection]:
    """`python -m module FD arguments...`, FD being its end of the pipe; the process, and the other end.

    stderr: as subprocess has it. environment: what differs from this process's.
    """
    mine, theirs = Pipe()
    # Under -m the working folder leads sys.path: it must be the package's, never one with documents that shadow modules.
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, (theirs.fileno(), *arguments))],
        pass_fds=[theirs.fileno()],
        cwd=PACKAGE_ROOT,
        env={**os.environ, "PYTHONPATH": _absolute(os.environ.get("PYTHONPATH", "")), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stderr=stderr,
    )
    theirs.close()
    return process, mine


def _absolute(python_path: str) -> str:
    return os.pathsep.join(os.path.abspath(entry) for entry in python_path.split(os.pathsep) if entry)
