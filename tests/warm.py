"""`tscli` in a process that was forked from one in which others' packages are imported: a tenth of a second instead of seconds.

All of tscli itself is imported anew. Tests of what happens while Python starts, and of limits of a process, start a real one.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
_server = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
_server.set_forkserver_preload(
    ["torch", "transformers.models.llama.modeling_llama", "tiktoken", "rich.console", "rich.progress", "pypdf"]
)


def run_tscli(*arguments: str, file_size: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing on standard input; environment: beside that of this process; file_size: no file may have more
    bytes."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")])
    with TemporaryDirectory() as folder:
        out, error = Path(folder) / "out", Path(folder) / "error"
        settings = {**os.environ, "PYTHONPATH": path, **environment}
        process = _server.Process(target=_command, args=(arguments, settings, out, error, file_size))
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), error.read_text())


def _command(arguments: tuple[str, ...], environment: dict[str, str], out: Path, error: Path, file_size: int | None) -> None:
    for number, (file, flags) in enumerate(((os.devnull, "r"), (out, "w"), (error, "w"))):
        with open(file, flags) as opened:
            os.dup2(opened.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, "r" if number == 0 else "w", closefd=False) for number in range(3))  # noqa: SIM115
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tscli", *arguments]
    from tscli.cli.app import main

    main()
