"""A home, documents and a library that the tests of the real entry point share; a command runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.warm import run_tscli

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
TEXT = "The lighthouse at Corran Head was built in 1874. The access code of the boathouse is KX-4471. "


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def run(shared_home: Path) -> Run:
    def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_tscli(
            *arguments, **{"TSCLI_HOME": str(shared_home), "TSCLI_CONFIG": os.devnull, "COLUMNS": "100", **environment}
        )

    return command


@pytest.fixture(scope="session")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("w") / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT + "Nothing else happened on that day. " * 60)
    (folder / "b.md").write_text("# Notes\n\n" + "The wind was from the north and the sea was calm. " * 60)
    return folder


@pytest.fixture(scope="session")
def library(run: Run, docs: Path) -> str:
    done = run("ingest", str(docs), "--library", "lib")
    assert done.returncode == 0, done.stderr
    return "lib"
