"""README's commands are commands: each one has every word and flag that is shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from tscli.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = README.split("## Use\n", 1)[1].split("```", 2)[1]
LINES = [line.split("  #")[0].split(" # ")[0].strip() for line in BLOCK.strip().splitlines()]
COMMANDS = [f"tscli {part.strip()}" for line in LINES for part in line.removeprefix("tscli").split("|")]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "questions.txt").write_text("Who?\n")
    (tmp_path / "shelf.tar").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(line)[1:]
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    needs_a_name = name in ("rm",) and not arguments
    command.make_context(name, [*arguments, *(["shelf"] if needs_a_name else [])])


def test_every_command_is_in_the_readme() -> None:
    named = {shlex.split(line)[1] for line in COMMANDS} | set(re.findall(r"`tscli (\w+)", README)) | {"import"}
    assert set(typer.main.get_command(app).commands) <= named  # type: ignore[attr-defined]


def test_make_targets_of_the_readme_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
