"""Real processes on a real (pseudo) terminal or pipe: questions, colours, broken pipes, the time that --help takes."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tscli

ROOT = Path(__file__).parents[2]


def _environment(home: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")])
    # Unbuffered, a closed pipe shows at the first word; buffered, as people run it, only at the end.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, "TSCLI_HOME": str(home), "PYTHONPATH": path, **more}


def _on_a_terminal(home: Path, typed: str, *arguments: str) -> tuple[int, str]:
    """Run with a terminal for stdin, stdout and stderr; the exit code and all that was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tscli", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=_environment(home), cwd=ROOT) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:  # how Linux says that the other side is closed
            pass
        code = process.wait()
    os.close(ours)
    return code, shown.decode()


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A home with a library whose manifest cannot be read."""
    folder = tmp_path / "libraries" / "old"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_chat_is_typed_with_arrow_keys_and_a_second_ctrl_c_ends_it(
    tmp_path: Path, small_model: Path, write_documents: Callable[..., Path]
) -> None:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([write_documents(words=50)], load=load).run()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tscli", "-q", "chat", "--max-new-tokens", "3"]
    environment = _environment(tmp_path / "home", TERM="xterm")
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=ROOT,
        preexec_fn=_heed_interrupts,  # noqa: PLW1509 - it sets one signal
    ) as process:
        os.close(theirs)
        try:
            _wait_for(ours, b"> ")
            os.write(ours, b"Where is it?\n")
            _wait_for(ours, b"> ")
            os.write(ours, b"\x1b[A\n")  # the arrow key brings the question back
            assert b"Where is it?" in _wait_for(ours, b"> ")
            for _ in range(10):  # two are enough, but one that comes just when Python begins to listen is lost
                time.sleep(0.5)
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(8)
                    break
            assert process.wait(1) == 0
        finally:
            process.kill()
    os.close(ours)
    assert (tmp_path / "home" / "chat-history").read_text() == "Where is it?\n"


def _heed_interrupts() -> None:
    """Whatever runs the tests in the background has taught its children to ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for(terminal: int, words: bytes) -> bytes:
    """What is shown until these words are."""
    shown = b""
    while words not in shown:
        assert select.select([terminal], [], [], 60)[0], shown.decode()
        shown += os.read(terminal, 1)
    return shown


def test_rm_asks_and_no_keeps_the_library(tmp_path: Path, damaged: Path) -> None:
    code, shown = _on_a_terminal(tmp_path, "n\n", "rm", "old")
    assert code == 1
    assert "Remove library old (damaged)?" in shown
    assert "library old was not removed" in shown
    assert damaged.exists()


def test_rm_asks_and_yes_removes_even_a_damaged_library(tmp_path: Path, damaged: Path) -> None:
    code, shown = _on_a_terminal(tmp_path, "y\n", "rm", "old")
    assert code == 0, shown
    assert not damaged.exists()


@pytest.mark.parametrize("arguments", [("--version",), ("list", "--json")])
def test_a_reader_that_has_seen_enough_is_no_error_worth_a_word(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tscli", *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=_environment(tmp_path), check=False, cwd=ROOT)
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_a_terminal_without_utf8_gets_question_marks_rather_than_an_error(tmp_path: Path, damaged: Path) -> None:
    (tmp_path / "libraries" / "gr\u00fcn").mkdir()
    (tmp_path / "libraries" / "gr\u00fcn" / "manifest.json").write_text("{}")
    command = [sys.executable, "-m", "tscli", "list"]
    environment = _environment(tmp_path, PYTHONIOENCODING="ascii")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "gr?n" in done.stdout


def test_help_imports_little(tmp_path: Path) -> None:
    """Which is what keeps it under three tenths of a second: torch alone takes more than one."""
    program = (
        "import sys\nfrom tscli.cli.app import run\nassert run(['--help']) == 0\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)), len(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment(tmp_path), cwd=ROOT).stdout
    *packages, modules = shown.splitlines()[-1].split()
    others = {name for name in packages if not name.startswith("_")}  # those are what an installation starts
    assert others <= {"annotated_doc", "lazy_loader", "platformdirs", "shellingham", "tscli", "typer"}
    assert int(modules) < 300


def test_colours_may_be_forced_but_nothing_moves_without_a_terminal(tmp_path: Path) -> None:
    program = "from tscli.cli.output import animated, stderr\nassert stderr().is_terminal and not animated()"
    environment = _environment(tmp_path, FORCE_COLOR="1")
    subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.PIPE, env=environment, cwd=ROOT)


@pytest.mark.slow
def test_words_of_weak_support_are_dim_on_a_terminal_and_plain_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The wind was from the north and the sea was calm. " * 60)
    command = [sys.executable, "-m", "tscli"]
    environment = _environment(tmp_path, TERM="xterm")
    environment.pop("NO_COLOR", None)
    subprocess.run([*command, "ingest", str(tmp_path / "a.txt")], check=True, capture_output=True, env=environment, cwd=ROOT)
    program = (
        "import tscli.evidence.support as support\n"
        "support.WEAK = 2.0\n"  # everything is weak
        "from tscli.cli.app import run\n"
        "run(['ask', 'Where was the wind from?', '-q', '--max-new-tokens', '3'])\n"
    )
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT)
    assert b"\x1b[2;4m" in os.read(ours, 65536)
    environment["NO_COLOR"] = "1"
    subprocess.run([sys.executable, "-c", program], check=True, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT)
    assert b"\x1b[2;4m" not in os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)
    piped = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment, cwd=ROOT)
    assert b"\x1b" not in piped.stdout
