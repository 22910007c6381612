"""SECURITY.md lists what an installation brings, with the licences that the packages name, and tests that are there."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def said_of_itself(package: str) -> str:
    about = metadata(package)
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    named = [kind.split(" :: ")[-1] for kind in about.get_all("Classifier") or [] if kind.startswith("License")]
    return "; ".join(named) or str(about["License"]).splitlines()[0]


def test_every_dependency_is_listed_with_its_licence() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.match(r"[\w.-]+", dependency)[0] for dependency in dependencies]  # type: ignore[index]
    listed = dict(re.findall(r"^\| ([\w.-]+) \| (.+) \|$", SECURITY.split("## Dependencies")[1], re.MULTILINE))
    listed.pop("package")
    assert sorted(listed) == sorted(names)
    assert {name: licence for name, licence in listed.items() if licence != said_of_itself(name)} == {}


def test_no_dependency_asks_for_more_than_to_be_named() -> None:
    listed = re.findall(r"^\| ([\w.-]+) \| (.+) \|$", SECURITY.split("## Dependencies")[1], re.MULTILINE)[1:]
    assert [name for name, licence in listed if re.search(r"\bA?GPL|General Public", licence.replace("LGPL", ""))] == []


def test_every_test_that_a_promise_names_is_there() -> None:
    named = re.findall(r"`(?:python )?(tests/[\w/]+\.py)", SECURITY)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []
