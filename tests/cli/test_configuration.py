"""Flag over environment over file over default; what cannot be is refused by file and key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import tscli
from tscli import internals
from tscli.cli.app import app, run
from tscli.cli.configuration import config_file, defaults_of, set_once
from tscli.cli.flags import SETTINGS
from tscli.errors import LibraryError, UsageError

FULL = """
library = "shelf"
model = "reader"
revision = "main"
dtype = "float32"
device = "cpu"
question_mode = "two_pass"
voters = "all"
k = "20%"
n_init = 16
n_local = 64
chunk = 256
theta = 0.5
pool = 5
metric = "hard"
scale = "sqrt"
max_tokens = "256k"
max_new_tokens = 64
stats = "none"
system = "Read this."
top = 2
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("")
    monkeypatch.setenv("TSCLI_CONFIG", str(path))
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `ask` opens libraries with; none is opened."""
    calls: list[Any] = []

    def open_library(*arguments: Any, **how: Any) -> None:
        calls.append((*arguments, how))
        raise LibraryError("not now")

    monkeypatch.setattr(tscli, "open_library", open_library, raising=False)
    monkeypatch.setattr(internals, "library_model", lambda _: tscli.LoadOptions("reader"), raising=False)
    return calls


def test_every_setting_of_the_file_reaches_the_commands(file: Path, opened: list[Any]) -> None:
    file.write_text(FULL)
    assert set(set_once()) == {setting.parameter for setting in SETTINGS.values()}
    run(["ask", "Who?"])
    ((library, load, selection, how),) = opened
    assert (library, how["question_mode"], how["voters"], how["dense"]) == (["shelf"], "two_pass", "all", False)
    assert load == tscli.LoadOptions(device="cpu")  # the library knows its model
    assert selection == tscli.SelectionOptions("20%", 16, 64, None, 0.5, "sqrt", 5, "hard")


def test_a_flag_goes_before_the_environment_and_that_before_the_file(
    file: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["ask", "Who?"])
    file.write_text("library = 'of-the-file'\nk = 300")
    run(["ask", "Who?"])
    monkeypatch.setenv("TSCLI_LIBRARY", "of-the-environment")
    run(["ask", "Who?"])
    run(["ask", "Who?", "-l", "of-the-flag"])
    run(["ask", "Who?", "-l", "one", "--library", "another"])
    assert [call[0] for call in opened] == [
        ["default"],
        ["of-the-file"],
        ["of-the-environment"],
        ["of-the-flag"],
        ["one", "another"],
    ]
    assert [call[2].k for call in opened] == [None, "300", "300", "300", "300"]


def test_a_folder_with_spaces_is_one_library(file: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCLI_LIBRARY", "/my shelf/of books")
    run(["ask", "Who?"])
    assert opened[0][0] == ["/my shelf/of books"]


def test_the_question_itself_is_not_a_setting(file: Path, opened: list[Any]) -> None:
    file.write_text("question = 'chunk'")
    assert run(["ask"]) == 2
    assert opened == []


def test_the_library_of_every_day_is_looked_after_but_never_removed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("library = 'shelf'")
    assert run(["info"]) == 4
    assert "libraries/shelf" in capsys.readouterr().err
    assert run(["rm", "--yes"]) == 2
    assert "Missing argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("libary = 'x'", "unknown setting 'libary'; choose from library, model"),
        ("[ask]\nk = 5", "unknown setting 'ask'"),
        ("dtype = 'int3'", "dtype is 'int3'; it must be auto, float32, bfloat16 or float16"),
        ("device = 'tpu'", "device is 'tpu'"),
        ("k = 'many'", "k is 'many'; it must be a count or a share such as 20%"),
        ("k = true", "k is True"),
        ("k = -1", "k is -1"),
        ("pool = 4", "pool is 4; it must be 0 or an odd number"),
        ("pool = [5]", r"pool is \[5\]"),
        ("chunk = 100", "chunk is 100; it must be a power of two"),
        ("theta = 1.5", "theta is 1.5; it must be a number from -1 to 1"),
        ("max_tokens = 'lots'", "max_tokens is 'lots'"),
        ("max_new_tokens = 0", "max_new_tokens is 0"),
        ("library = ''", "library is ''"),
        ("library", "not a TOML file"),
        ("library = 'a'\nlibrary = 'b'", "not a TOML file"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_key(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as error:
        set_once()
    assert str(error.value).startswith(str(file))
    assert run(["list"]) == 2


def test_a_bad_variable_is_refused_by_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCLI_POOL", "4")
    with pytest.raises(UsageError, match="TSCLI_POOL is '4'; it must be 0 or an odd number"):
        set_once()


@pytest.mark.parametrize("value", ["theta = -1", "theta = 1.0", "theta = 0", "k = 2048", "pool = 0", "max_tokens = 1048576"])
def test_numbers_may_be_numbers(file: Path, value: str) -> None:
    file.write_text(value)
    assert set_once() == dict([value.split(" = ")])


def test_a_file_that_cannot_be_read_is_an_error_unless_nobody_named_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(b"library = '\xff'")
    with pytest.raises(UsageError, match="not a TOML file"):
        set_once()
    monkeypatch.setenv("TSCLI_CONFIG", str(tmp_path))
    with pytest.raises(UsageError, match="cannot be read"):
        set_once()
    monkeypatch.setenv("TSCLI_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(UsageError, match="no such file"):
        set_once()
    monkeypatch.delenv("TSCLI_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert config_file().parts[-2:] == ("tscli", "config.toml")
    assert set_once() == {}


def test_help_reads_no_file(file: Path) -> None:
    file.write_text("nonsense")
    assert run(["--help"]) == 0


def test_reading_the_file_imports_no_torch(file: Path) -> None:
    file.write_text(FULL)
    program = (
        "import sys\nfrom tscli.cli.app import app, run\nassert run(['config']) == 0\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=Path(__file__).parents[2])


def test_a_library_knows_its_model_whatever_is_set_for_new_ones(file: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    file.write_text("model = 'another/model'\ndtype = 'float32'\nk = 64")
    assert defaults_of(commands["ask"], set_once()) == {"k": "64"}
    assert defaults_of(commands["ingest"], set_once()) == {"model": "another/model", "dtype": "float32", "k": "64"}
