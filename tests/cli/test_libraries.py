"""`tscli list` and `info` in this process, with libraries that no model made."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main

import tscli
from tests.store.conftest import fill, tokens
from tscli.cli.app import app, run
from tscli.cli.streams import LIBRARY_COMMANDS
from tscli.errors import LibraryError
from tscli.store import library_folder


@pytest.fixture
def shelf(home: Path) -> Path:
    folder = library_folder("shelf")
    fill(folder, tokens(150))
    return folder


def test_list_shows_size_tokens_last_use_and_model(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC+1")
    time.tzset()
    (shelf / "used").touch()
    os.utime(shelf / "used", (1_700_000_000, 1_700_000_000))
    fill(library_folder("a-second-shelf"), tokens(90))
    assert run(["list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    monkeypatch.undo()
    time.tzset()
    assert lines[0] == ["library", "on", "disk", "tokens", "last", "use", "model"]
    assert [lines[1][0], *lines[1][2:]] == ["a-second-shelf", "KiB", "90", "-", "m", "(float32)"]
    assert [lines[2][0], *lines[2][2:]] == ["shelf", "KiB", "150", "2023-11-14", "21:13", "m", "(float32)"]


def test_the_json_of_list_has_its_keys(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    kinds = {"dtype", "kv_dtype", "weights"}
    assert set(found) == {"library", "documents", "tokens", "bytes", "model", "updated", "last_used", "error"} | kinds
    assert found["last_used"] is None


def test_info_says_what_a_token_takes(shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    template = {"source": "default", "reason": "", "system": ""}
    details = replace(tscli.info("shelf"), documents=[], template=template)
    monkeypatch.setattr(tscli, "info", lambda _: details, raising=False)
    assert run(["info", "shelf"]) == 0
    assert "\nper token  KV 256 B\n" in capsys.readouterr().out  # the model was never calibrated
    assert run(["info", "shelf", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["bytes_per_token"]
    nothing = dict.fromkeys(("sketch", "scanned", "keys_scanned", "head_keys"))
    assert found == {"kv": 2 * 2 * 2 * 8 * 4, **nothing, "of_other_heads": False}
    other = replace(details.bytes_per_token, scanned=320, keys_scanned=0.05, head_keys=264, of_other_heads=True)
    monkeypatch.setattr(tscli, "info", lambda _: replace(details, bytes_per_token=other), raising=False)
    assert run(["info", "shelf"]) == 0
    assert "scan 320 B, 5.0% of the keys; the head keys are of an earlier calibration" in capsys.readouterr().out


def test_a_damaged_library_is_listed_with_its_reason(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "manifest.json").write_text("{}")
    assert run(["list"]) == 0
    assert "damaged: " in capsys.readouterr().out


def test_a_time_that_was_edited_is_shown_as_it_stands_and_harmless(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = {"source": "default", "reason": "", "system": ""}
    details = replace(tscli.info("shelf"), created="once \x1b[2J", documents=[], template=template)
    monkeypatch.setattr(tscli, "info", lambda _: details, raising=False)
    assert run(["info", "shelf"]) == 0
    assert "once \ufffd[2J, last changed" in capsys.readouterr().out


def test_an_ingest_that_finished_nothing_can_be_removed_after_a_question(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "libraries" / "half" / "segments").mkdir(parents=True)
    asked: list[str] = []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(typer, "confirm", lambda question, **_: asked.append(question) or True)
    assert run(["rm", "half"]) == 0
    assert asked == ["Remove library half (an ingest that was stopped before anything was finished)?"]
    assert not (home / "libraries" / "half").exists()
    assert run(["rm", "never"]) == LibraryError.exit_code
    assert "no library named never" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A standard input that one types into."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("named", [["absent"], ["-l", "absent"], ["-labsent"], ["--library", "absent"], ["--library=absent"]])
@pytest.mark.parametrize("command", LIBRARY_COMMANDS)
def test_a_library_is_named_as_an_argument_or_by_the_flag_of_ask(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, named: list[str]
) -> None:
    more = {"rm": ["--yes"], "export": [str(tmp_path / "a.tar")]}
    assert run([command, *named, *more.get(command, [])]) == LibraryError.exit_code
    assert "no library named absent at" in capsys.readouterr().err


def test_a_library_that_the_flag_names_is_exported_to_the_file_behind_it(shelf: Path, tmp_path: Path) -> None:
    assert run(["export", "--library", "shelf", str(tmp_path / "shelf.tar")]) == 0
    assert (tmp_path / "shelf.tar").is_file()


def test_a_library_is_named_once(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "other", "-l", "shelf"]) == 2
    assert "unexpected extra argument" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ask", "evidence", "chat", "serve"])
def test_where_only_the_flag_names_a_library_the_error_says_so(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "shelf", "Who?"]) == 2
    assert f"this command takes its library as a flag: tscli {command} -l NAME" in capsys.readouterr().err


def test_every_command_that_takes_a_library_first_is_known() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    first = {name for name, command in commands.items() if any(_takes_a_library(one) for one in command.params[:1])}
    assert first == set(LIBRARY_COMMANDS)


def _takes_a_library(parameter: Any) -> bool:
    return parameter.param_type_name == "argument" and "library" in (parameter.help or "")
