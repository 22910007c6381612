"""`tscli export | import` in this process, with a library that no model made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.store.conftest import fill, tokens
from tscli.cli.app import run
from tscli.cli.output import size
from tscli.store import library_folder


@pytest.fixture
def archive(home: Path, tmp_path: Path) -> Path:
    fill(library_folder("shelf"), tokens(150))
    file = tmp_path / "shelf.tar"
    assert run(["-q", "export", "shelf", str(file)]) == 0
    return file


def test_a_library_is_written_into_a_file_and_made_of_it_again(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "shelf", str(archive)]) == 2
    assert "--force" in capsys.readouterr().err
    assert run(["export", "shelf", str(archive), "--force", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"library": "shelf", "file": str(archive), "bytes": archive.stat().st_size}
    assert "library shelf written into" in shown.err
    assert run(["import", str(archive), "--library", "other", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) | {"folder": "", "bytes": 0} == {
        "library": "other", "folder": "", "documents": 1, "tokens": 150, "bytes": 0, "model": "m"
    }  # fmt: skip
    assert "library other: 1 document, 150 tokens" in shown.err
    assert run(["verify", "other"]) == 0


def test_a_library_that_is_there_is_replaced_by_force_only(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", str(archive)]) == 4
    assert "library shelf already exists; choose another name with --library" in capsys.readouterr().err
    assert run(["import", str(archive), "--force"]) == 0


def test_what_is_no_archive_is_an_error_of_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tar").write_text("hello")
    assert run(["import", str(tmp_path / "a.tar")]) == 4
    assert run(["import", str(tmp_path / "absent.tar")]) == 2
    assert run(["export", "absent", str(tmp_path / "b.tar")]) == 4
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "not an archive that tscli export wrote" in errors[0]
    assert "No such file" in errors[1]
    assert "no library" in errors[2]


def test_bytes_move_on_a_terminal_and_nowhere_else(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["import", str(archive), "--library", "silent"]) == 0
    assert len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("tscli.cli.output.animated", lambda: True)
    for command in (["export", "silent", str(tmp_path / "b.tar")], ["import", str(archive), "--library", "other"]):
        assert run(command) == 0
        shown = capsys.readouterr().err
        whole = size(sum(path.stat().st_size for path in library_folder("silent").rglob("*.pt"))).removesuffix(" KiB")
        assert f"{whole}/{whole} KiB" in shown
        assert run(["-q", *command[:-1], f"{command[-1]}2"]) == 0
        assert capsys.readouterr().err == ""
