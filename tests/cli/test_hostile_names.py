"""Names of files that would drive a terminal, on a real one and into a pipe, through every command that shows them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = (
    "a\x1b]0;title\x07.txt",
    "b\x1b[2J\x9b31m.txt",
    "c\ntscli: all is well.txt",
    "d[/bold][red].txt",
    "e\u202etxt.exe",
    "f\r:smile:",
)
RAW = ("\x1b]0", "\x1b[2J", "\x9b", "\x07", "\u202e", "\ntscli: all is well")


def environment(home: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    return {**os.environ, "TSCLI_HOME": str(home), "PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "100"}


def on_a_terminal(home: Path, *arguments: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tscli", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(home), cwd=home.parent)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(ours)
    return process.wait(), shown.decode(errors="replace").replace("\r\n", "\n")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)  # one name has a slash
        (folder / name).write_text(f"The stone number {number} is \x1b[2J\x9bgreen. " * 20, encoding="utf-8")
    (folder / "broken\x1b[2J\ntscli: all is well.pdf").write_bytes(b"%PDF-1.7 nothing")
    return folder


@pytest.mark.slow
def test_no_command_echoes_them(home: Path, docs: Path) -> None:
    code, shown = on_a_terminal(home, "ingest", str(docs))
    assert code == 3, shown
    assert "unexpected" not in shown
    everything = shown
    for command in (
        ["info"],
        ["list"],
        ["ask", "What is stone number 1?", "--map"],
        ["coverage"],
        ["ingest", str(docs / "absent\x1b[2J")],
    ):
        code, shown = on_a_terminal(home, *command)
        assert code in (0, 2), shown
        everything += shown
    for line in ("d[/bold][red].txt", "stone"):
        assert line in everything
    assert [raw for raw in RAW if raw in everything] == []
    assert set(re.findall(r"\x1b(?!\[[0-9;?]*[a-zA-Z])", everything)) == set()


@pytest.mark.slow
def test_json_holds_them_and_drives_nothing(home: Path, docs: Path) -> None:
    command = [sys.executable, "-m", "tscli", "--quiet", "ingest", str(docs), "--json"]
    done = subprocess.run(command, capture_output=True, env=environment(home), check=False)
    assert done.returncode == 3, done.stderr
    text = done.stdout.decode()
    assert [raw for raw in RAW[:-1] if raw in text] == []
    assert len(json.loads(text)["documents"]) == len(NAMES)
