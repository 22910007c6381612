"""The pages of the Python API build, the wheel holds what it should, and the public forge's workflow runs what people run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import tscli
from tests.harness.package import build_wheel, import_seconds

ROOT = Path(__file__).parents[1]


def test_the_api_pages_name_everything_that_is_public(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="pages of the API need a developer's package")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    command = [sys.executable, ROOT / "docs" / "make_api.py", tmp_path]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    named = set(re.findall(r'id="([^"]+)"', (tmp_path / "tscli.html").read_text(encoding="utf-8")))
    assert [name for name in tscli.__all__ if name not in named and not (tmp_path / "tscli" / f"{name}.html").is_file()] == []


def test_a_wheel_built_without_a_network_can_be_imported(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    for packaged in ("tscli/reader/model.safetensors", "tscli_kernels/__init__.py", "tscli/evidence/report.css"):
        assert (tmp_path / "installed" / packaged).is_file()
    assert not (tmp_path / "installed" / "tests").exists()
    _, with_torch = import_seconds(tmp_path / "installed")
    assert not with_torch


def test_the_workflow_runs_the_tests_on_the_oldest_and_the_newest_python() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    versions = re.findall(r'"(3\.\d+)"', workflow)
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert allowed == f">={versions[0]},<3.{int(versions[-1][2:]) + 1}"
    assert "make test" in workflow
