"""What starts quickly: help and `import tscli` load neither torch nor transformers, and every public name is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.conftest import ROOT, Run
from tscli.cli.app import app


def test_help_and_version_import_no_torch() -> None:
    program = (
        "import sys\nfrom tscli.cli.app import run\n"
        "code = run(['--help'])\n"
        "assert code == 0 and not {'torch', 'transformers', 'numpy'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT)


def test_every_command_is_described_on_one_whole_line(run: Run) -> None:
    commands = run("--help", COLUMNS="80").stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert len(commands) > 10
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for below, found in getattr(command, "commands", {}).items():
        yield from _commands(found, f"{name} {below}")


def test_a_flags_help_names_no_flag_that_the_command_does_not_have() -> None:
    commands = dict(_commands(typer.main.get_command(app), "tscli"))
    assert "tscli eval tasks" in commands
    for name, command in commands.items():
        own = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        named = {flag for parameter in command.params for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", parameter.help or "")}
        assert named <= own, f"{name}: {sorted(named - own)}"


def test_importing_the_package_imports_no_torch() -> None:
    program = "import sys, tscli\nassert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_every_name_of_the_api_is_there() -> None:
    import tscli
    from tscli import internals

    for module in (tscli, internals):
        assert [name for name in module.__all__ if getattr(module, name, None) is None] == []
    assert set(tscli.__all__) & set(internals.__all__) == set()
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tscli.nonsense


def test_asking_the_embedded_reader_imports_no_transformers(shared_home: Path, library: str) -> None:
    program = (
        "import sys\nfrom tscli.cli.app import run\n"
        f"code = run(['ask', '--library', '{library}', 'Who?', '--max-new-tokens', '1'])\n"
        "assert code == 0 and 'torch' in sys.modules and 'transformers' not in sys.modules"
    )
    settings = {**os.environ, "TSCLI_HOME": str(shared_home)}
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT, env=settings)
