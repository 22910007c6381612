"""With the embedded reader nothing leaves the machine: no command opens a socket or asks for an address."""

from __future__ import annotations

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


def test_no_socket_is_opened(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)  # the processes that read documents are watched too
    seen = tmp_path / "seen"
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")])
    settings = {"TSCLI_HOME": str(tmp_path / "home"), "PYTHONPATH": path, "SOCKETS_SEEN": str(seen)}

    def run(*arguments: str, typed: str = "") -> int:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env={**os.environ, **settings}, cwd=ROOT, input=typed, text=True, capture_output=True, check=False
        )
        return done.returncode

    samples = ("samples/faq.html", "samples/tide-research.pdf", "samples/glossary.md")
    assert run("-m", "tscli", "ingest", *samples) == 0
    assert run("-m", "tscli", "ask", "Who?", "--max-new-tokens", "2") == 0
    assert run("-m", "tscli", "chat", "--max-new-tokens", "2", typed="Who?\n") == 0
    assert run("-m", "tscli", "ask", "Who?", "--max-new-tokens", "2", "--html", str(tmp_path / "page.html")) == 0
    assert run("-m", "tscli", "evidence", "Who?", "--max-new-tokens", "2") == 0
    assert run("-m", "tscli", "export", "default", str(tmp_path / "a.tar")) == 0
    assert run("-m", "tscli", "import", str(tmp_path / "a.tar"), "--library", "other") == 0
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "Who?", "answer": "nobody", "file": "faq.html"}\n')
    assert run("-m", "tscli", "eval", "--questions", str(questions)) == 0
    for command in ("list", "info", "verify", "coverage", "doctor", "config"):
        assert run("-m", "tscli", command) == 0, command
    assert not seen.exists(), seen.read_text()
    assert run("-c", "import socket; socket.socket()") != 0  # the watch is awake
    assert "socket.__new__" in seen.read_text()
