"""README's picture of a session: `python tests/harness/session_picture.py LIBRARY`, made of what a terminal really shows.

The library is one of samples/ (`make demo` makes it); writes docs/pictures/session.svg.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
QUESTIONS = ("When was the lighthouse at Marrow Point built?", "What is the depth at the North Quay?")


def main() -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for question in QUESTIONS:
        command = ["tscli", "ask", "--library", sys.argv[1], question]
        console.print(Text(f'$ tscli ask --library {sys.argv[1]} "{question}"', style="bold"))
        console.print(Text.from_ansi(_shown([sys.executable, "-m", *command])))
    file = Path(__file__).parents[2] / "docs" / "pictures" / "session.svg"
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="tscli"), flags=re.S)  # nothing is fetched
    file.write_text(svg, encoding="utf-8")


def _shown(command: list[str]) -> str:
    """What a terminal shows in the end, without what turned while it worked."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "TSCLI_CONFIG": ""}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the terminal is closed when the process ends
            pass
        process.wait()
    lines = [line.rsplit("\r", 1)[-1] for line in shown.decode().replace("\r\n", "\n").split("\n")]
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in lines]
    return "\n".join(line for line, text in zip(lines, plain, strict=True) if text and not "\u2800" <= text[0] <= "\u28ff")


if __name__ == "__main__":
    main()
