"""`tscli repair` and what `verify` says before it, in this process, with a library that no model made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.store.conftest import fill, tokens
from tscli.cli.app import run
from tscli.store import library_folder


@pytest.fixture
def damaged(home: Path) -> Path:
    folder = library_folder("shelf")
    fill(folder, tokens(150))
    (folder / "manifest.json").write_text("{half")
    return folder


def test_verify_and_ask_name_the_file_and_the_repair(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["verify", "shelf"], ["ask", "Who?", "-l", "shelf"]):
        assert run(arguments) == 4
        printed = capsys.readouterr()
        assert str(damaged / "manifest.json") in printed.err
        assert "tscli repair shelf" in printed.err
        assert printed.out == ""


def test_repair_says_what_it_did(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["repair", "shelf", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert [Path(problem["file"]).name for problem in result["problems"]] == ["manifest.json"]
    assert result["tokens"] == {"total": 150, "recomputed": 0}
    assert "0 of 150 tokens computed again; every file is as it was written" in printed.err
    assert run(["verify", "shelf"]) == 0


def test_repairing_nothing_is_an_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["repair", "absent"]) == 4
    assert "no library" in capsys.readouterr().err
