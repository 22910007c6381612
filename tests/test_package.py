"""What an installed package holds."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is there from Python 3.11 on")
def test_every_package_is_installed() -> None:
    import tomllib

    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [file.parent for top in ("tscli", "kernels/tscli_kernels") for file in (ROOT / top).rglob("__init__.py")]
    there = {".".join(folder.relative_to(ROOT).parts).removeprefix("kernels.") for folder in folders}
    assert set(named) == there
