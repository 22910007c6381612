"""What an installed package holds."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_installed() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [file.parent for top in ("tscli", "kernels/tscli_kernels") for file in (ROOT / top).rglob("__init__.py")]
    there = {".".join(folder.relative_to(ROOT).parts).removeprefix("kernels.") for folder in folders}
    assert set(named) == there
