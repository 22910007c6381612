"""`tscli serve` as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.conftest import QUESTIONS, wait_until
from tests.warm import ROOT
from tscli.cli import serve as command
from tscli.cli.app import run

BODY = {"model": "shelf", "messages": [{"role": "user", "content": QUESTIONS[0]}]}
Begin = Callable[..., "Process"]


class Process:
    """A server of its own, started by the command."""

    def __init__(self, *arguments: str) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
        line = [sys.executable, "-m", "tscli", "serve", "--port", "0", *arguments]
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.errors: list[str] = []
        self._reader = threading.Thread(target=lambda: self.errors.extend(self.process.stderr or ()), daemon=True)
        self._reader.start()
        wait_until(lambda: bool(self.errors) or self.process.poll() is not None)
        found = re.search(r"http://\S+?:\d+", "".join(self.errors))
        self.address = found[0] if found else ""

    def end(self, sign: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self.process.send_signal(sign)
        out = self.process.stdout.read() if self.process.stdout else ""
        code = self.process.wait(60)
        self._reader.join(10)
        return code, out, "".join(self.errors)


@pytest.fixture
def begin(documents: Path, begin_anywhere: Begin) -> Begin:
    return begin_anywhere


@pytest.fixture
def begin_anywhere() -> Iterator[Begin]:
    begun: list[Process] = []

    def start(*arguments: str) -> Process:
        begun.append(Process(*arguments))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_a_signal_ends_it_cleanly(begin: Begin, sign: signal.Signals) -> None:
    server = begin("-l", "shelf")
    reply = httpx.post(f"{server.address}/v1/chat/completions", json=BODY, timeout=60)
    assert reply.json()["choices"][0]["message"]["content"] == "Odile Farrant"
    code, _, said = server.end(sign)
    assert code == 0
    assert "Traceback" not in said
    assert "harbour" not in said


def test_an_answer_in_flight_comes_to_its_end_when_it_is_told_to_stop(begin: Begin) -> None:
    server = begin()
    with httpx.stream("POST", f"{server.address}/v1/chat/completions", json={**BODY, "stream": True}, timeout=60) as reply:
        lines = reply.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        assert list(lines)[-2:] == ["data: [DONE]", ""]
    assert server.process.wait(60) == 0


def test_another_host_gets_a_token_that_is_shown_once_on_stdout(begin: Begin) -> None:
    server = begin("--host", "0.0.0.0")
    assert server.process.stdout is not None
    token = server.process.stdout.readline().removeprefix("token: ").strip()
    assert len(token) >= 32
    local = server.address
    pages = [server.process.stdout.readline().strip() for _ in range(2)]
    name = f"http://{socket.gethostname()}:{local.rsplit(':')[-1]}"
    assert pages == [f"page: {address}/?token={token}" for address in (local, name)]
    assert local.startswith("http://127.0.0.1:")
    said = httpx.get(f"{local}/health", headers={"Host": name.removeprefix("http://")})
    assert said.status_code == 200
    assert httpx.get(f"{local}/v1/models").status_code == 401
    assert httpx.get(f"{local}/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    _, _, said = server.end()
    assert token not in said


def test_a_port_that_is_in_use_is_a_clear_error(documents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 is in use" in said
    assert "--port" in said


def test_a_library_that_there_is_not_is_said_before_anything_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "-l", "nothing"]) == 4
    assert "no library named nothing" in capsys.readouterr().err


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert run(["serve"]) == 1
    assert 'pip install "tscli[serve]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--cors", "*"),
        ("--cors", "http://chat.example/"),
        ("--cors", "chat.example"),
        ("--allow-host", "shelf.lan:8080"),
        ("--allow-host", "http://shelf.lan"),
        ("--allow-host", "*"),
        ("--host", ""),
        ("--host", "é" * 80),
    ],
)
def test_what_no_browser_would_ever_say_is_refused(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", flag, value]) == 2
    assert f"{flag} is {value!r}; it must be" in capsys.readouterr().err


def test_without_a_library_it_says_how_to_get_one(home: Path, begin_anywhere: Begin) -> None:
    server = begin_anywhere()
    assert httpx.get(f"{server.address}/v1/models").json()["data"] == []
    _, _, said = server.end()
    assert "there is no library yet" in said
    assert "tscli ingest PATH" in said


@pytest.mark.parametrize("token", ["", " ", "tök", "a\nb"])
def test_a_token_that_fits_in_no_header_is_refused(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--token", token]) == 2
    assert "--token" in capsys.readouterr().err


def test_help_imports_neither_torch_nor_the_server(documents: Path) -> None:
    program = (
        "import sys; from tscli.cli.app import run; run(['serve', '--help']); "
        "print('loaded', sorted({'torch', 'starlette', 'uvicorn'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert "loaded []" in done.stdout
    assert "--parallel" in done.stdout
