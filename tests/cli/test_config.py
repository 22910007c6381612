"""`tscli config` says what is in force and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tscli.cli.app import run
from tscli.cli.flags import SETTINGS


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("library = 'shelf'\nquestion_mode = 'chunk'\npool = 5\ntop = 3\n")
    monkeypatch.setenv("TSCLI_CONFIG", str(path))
    monkeypatch.setenv("TSCLI_POOL", "7")
    return path


def test_the_table_names_each_settings_value_and_source(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "--top", "9"]) == 0
    shown = capsys.readouterr()
    lines = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert list(lines) == list(SETTINGS)
    assert lines["library"].split() == ["shelf", str(file)]
    assert lines["question_mode"].split() == ["chunk", str(file)]
    assert lines["pool"].split() == ["7", "TSCLI_POOL"]
    assert lines["top"].split() == ["9", "flag"]
    assert lines["dtype"].split() == ["auto", "default"]
    assert lines["theta"].split() == ["-", "default"]
    assert f"Configuration file: {file}" in shown.err


def test_the_json_has_its_keys(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["file_exists"]) == (str(file), True)
    assert list(found["settings"]) == list(SETTINGS)
    assert found["settings"]["top"] == {"value": 3, "from": "file"}
    assert found["settings"]["pool"] == {"value": 7, "from": "environment"}
    assert found["settings"]["max_new_tokens"] == {"value": 128, "from": "default"}


def test_every_setting_is_a_flag_of_config_and_of_another_command_with_the_same_default() -> None:
    import typer.main

    from tscli.cli.app import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    shown = {p.name: p for p in commands["config"].params}
    for name, setting in SETTINGS.items():
        others = [
            p for key, command in commands.items() if key != "config" for p in command.params if p.name == setting.parameter
        ]
        assert others, name
        several = [p.default if isinstance(p.default, list) else [p.default] for p in others]  # --library may be repeated
        assert all(default == [shown[setting.parameter].default] for default in several)
        # Of a flag that may be repeated the environment is a default: a name with spaces is one library.
        assert all(p.envvar == setting.variables for p in others if not isinstance(p.default, list))


@pytest.mark.parametrize(
    ("flag", "value", "complaint"),
    [
        ("--k", "abc", "it must be a count or a share"),
        ("--pool", "4", "it must be 0 or an odd number"),
        ("--dtype", "int3", "it must be auto, float32, bfloat16 or float16"),
        ("--library", "", "it must be a name or a folder"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(flag: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", flag, value]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tscli: {flag} is ")
    assert complaint in said
