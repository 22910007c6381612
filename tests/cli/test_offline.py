"""With the embedded reader nothing leaves the machine: no command opens a socket or asks for an address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WATCH = r"""
import os, socket, sys

def refuse(event, arguments):
    # socket.socket cannot be made behind the back of an audit hook, as it could if only its name were replaced.
    pipe = event == "socket.__new__" and arguments[1] == socket.AF_UNIX  # to the process that reads documents
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname") and not pipe:
        with open(os.environ["SOCKETS_SEEN"], "a") as file:
            file.write(f"{event} {arguments} in {sys.argv}\n")
        raise OSError("there is no network here")

sys.addaudithook(refuse)
"""
RUN = """
import json, sys
from tscli.cli.app import run
print("\\n" + json.dumps([run(command) for command in json.loads(sys.argv[1])]))  # all in one process: torch is imported once
"""


def test_no_socket_is_opened(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)  # the processes that read documents are watched too
    seen = tmp_path / "seen"
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")])
    settings = {"TSCLI_HOME": str(tmp_path / "home"), "PYTHONPATH": path, "SOCKETS_SEEN": str(seen)}

    def end(*arguments: str, typed: str = "") -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env={**os.environ, **settings}, cwd=ROOT, input=typed, text=True, capture_output=True, check=False
        )
        return done.stdout.splitlines()[-1] if done.stdout else str(done.returncode)

    (tmp_path / "q.jsonl").write_text('{"question": "Who?", "answer": "nobody", "file": "faq.html"}\n')
    asking, archive = ("Who?", "--max-new-tokens", "2"), str(tmp_path / "a.tar")
    commands = [
        ("ingest", "samples/faq.html", "samples/tide-research.pdf", "samples/glossary.md"),
        ("ask", *asking),
        ("chat", "--max-new-tokens", "2"),
        ("ask", *asking, "--html", str(tmp_path / "page.html")),
        ("evidence", *asking),
        ("export", "default", archive),
        ("import", archive, "--library", "other"),
        ("eval", "questions", str(tmp_path / "q.jsonl")),
        ("model", "list"),
        ("model", "show", "reader"),
        *((command,) for command in ("list", "info", "verify", "coverage", "doctor", "config")),
    ]
    assert end("-c", RUN, json.dumps(commands), typed="Who?\n") == json.dumps([0] * len(commands))
    assert not seen.exists(), seen.read_text()
    assert end("-c", "import socket; socket.socket()") != "0"  # the watch is awake
    assert "socket.__new__" in seen.read_text()
