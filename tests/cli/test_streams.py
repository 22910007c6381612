"""Standard output that is closed or full, and questions that begin with a dash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tscli.cli.streams import with_dashed_question

FULL = Path("/dev/full")


def tscli(home: Path, shell: str) -> subprocess.CompletedProcess[str]:
    line = f'"{sys.executable}" -m tscli {shell}'
    environment = {**os.environ, "TSCLI_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment, check=False)


def test_nothing_waits_behind_what_stderr_says_where_python_is_unbuffered(tmp_path: Path) -> None:
    code = (
        "import sys; from tscli.cli.streams import open_streams; open_streams(); print('answer'); print('how', file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=True
    )
    assert done.stdout == b"answer\nhow\n"


def test_a_closed_output_is_said(tmp_path: Path) -> None:
    done = tscli(tmp_path, "path >&-")
    assert done.returncode == 1
    assert (
        done.stderr
        == "tscli: standard output is closed, so that the result has nowhere to go; send it to a file, or to /dev/null\n"
    )


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_output_is_said_without_a_word_about_libraries(tmp_path: Path) -> None:
    done = tscli(tmp_path, "path > /dev/full")
    assert done.returncode == 5
    assert done.stderr == "tscli: standard output: No space left on device; make room where it goes, or send it elsewhere\n"


def test_closed_errors_do_not_become_output(tmp_path: Path) -> None:
    done = tscli(tmp_path, "info absent 2>&-")
    assert (done.returncode, done.stdout) == (4, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ask", "-5 degrees?"], ["ask", "--", "-5 degrees?"]),
        (["-q", "ask", "- what is it?", "--json"], ["-q", "ask", "--json", "--", "- what is it?"]),
        (["ask", "-lost property?", "-l", "shelf"], ["ask", "-l", "shelf", "--", "-lost property?"]),
        (["ask", "-5"], ["ask", "--", "-5"]),
        (["ask", "--theta", "-0.5", "why?"], ["ask", "--theta", "-0.5", "why?"]),
        (["ask", "--html=my page.html", "why?"], ["ask", "--html=my page.html", "why?"]),
        (["ask", "-l", "shelf", "--", "-5 degrees?"], ["ask", "-l", "shelf", "--", "-5 degrees?"]),
        (["ingest", "-5 degrees"], ["ingest", "-5 degrees"]),
    ],
)
def test_a_question_may_begin_with_a_dash(arguments: list[str], expected: list[str]) -> None:
    assert with_dashed_question(arguments) == expected
