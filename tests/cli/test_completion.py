"""What a shell is told when somebody presses the tab key, by the very process that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = (
    "import sys\nsys.argv = ['tscli']\nfrom tscli.cli.app import main\n"
    "try:\n    main()\nfinally:\n    assert not {'torch', 'transformers', 'numpy'} & set(sys.modules), 'slow'\n"
)


@pytest.fixture(autouse=True)
def libraries(home: Path) -> None:
    for name in ("harbour", "harvest", "shelf", ".half.tscli-import"):
        (home / "libraries" / name).mkdir(parents=True)
        (home / "libraries" / name / "manifest.json").write_text("{}")
    (home / "libraries" / "unfinished").mkdir()


def complete(line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    asked = {"_TSCLI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    settings = {**os.environ, **asked, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=settings, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    "line",
    [
        "ask Who? --library ",
        "ingest docs -l ",
        "eval questions q.jsonl -l ",
        "info ",
        "verify ",
        "prune ",
        "rm ",
        "export ",
        "import a.tar -l ",
    ],
)
def test_names_of_libraries_are_offered_without_waiting_for_torch(line: str) -> None:
    assert complete(f"tscli {line}") == ["harbour", "harvest", "shelf"]
    assert complete(f"tscli {line}har") == ["harbour", "harvest"]


def test_a_name_that_nothing_begins_with_and_a_folder_are_left_to_the_shell() -> None:
    assert complete("tscli info x") == []
    assert complete("tscli ask Who? -l ./har") == []


def test_a_broken_file_of_settings_does_not_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("nonsense")
    monkeypatch.setenv("TSCLI_CONFIG", str(tmp_path / "config.toml"))
    assert complete("tscli info s") == ["shelf"]
