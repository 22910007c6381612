"""Commands that look after libraries, through their real entry point: list, info, prune, rm, export, import, doctor."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_list_info_prune_and_rm(run: Run, docs: Path) -> None:
    assert run("ingest", str(docs), "-l", "short").returncode == 0
    assert "short" in run("list").stdout
    assert "short" in [info["library"] for info in json.loads(run("list", "--json").stdout)]
    assert "docs/a.txt" in run("info", "short").stdout
    assert json.loads(run("prune", "short", "--json").stdout) == {"library": "short", "files": 0, "bytes": 0}
    assert run("rm", "short", "--yes").returncode == 0
    assert "short" not in [info["library"] for info in json.loads(run("list", "--json").stdout)]


def test_a_library_that_was_carried_elsewhere_answers_and_goes_on_without_reading_again(
    run: Run, docs: Path, library: str, tmp_path: Path
) -> None:
    elsewhere = {"TSCLI_HOME": str(tmp_path / "elsewhere"), "TSCLI_LIBRARY": "carried"}
    assert run("export", library, str(tmp_path / "lib.tar")).returncode == 0
    assert run("import", str(tmp_path / "lib.tar"), "-l", "carried", **elsewhere).returncode == 0
    question = ("ask", "What is the access code of the boathouse?", "--json")
    there, here = json.loads(run(*question, **elsewhere).stdout), json.loads(run(*question, "-l", library).stdout)
    assert there["tokens"]["recomputed"] == 0
    assert (there["library"], there["token_ids"]) == ("carried", here["token_ids"])
    again = json.loads(run("ingest", str(docs), "--json", **elsewhere).stdout)
    assert (again["library"], again["tokens"]["prefilled"]) == ("carried", 0)


def test_doctor_says_what_there_is_and_what_a_library_needs(run: Run, shared_home: Path) -> None:
    text = run("doctor", "--tokens", "2k").stdout
    assert text.startswith("versions   python ")
    assert "2,000 tokens take" in text or "2,048 tokens take" in text
    found = json.loads(run("doctor", "--json").stdout)
    assert found["home"] == str(shared_home)
    assert found["library_bytes"] > found["tokens"] * found["kv_bytes_per_token"]
    assert run("path").stdout.strip() == str(shared_home)


def test_coverage_follows_the_questions_that_are_kept(run: Run, docs: Path, shared_home: Path) -> None:
    assert run("ingest", str(docs), "-l", "covered").returncode == 0
    history = shared_home / "libraries" / "covered" / "history.jsonl"
    assert run("ask", "When?", "-l", "covered", "--no-history", "--max-new-tokens", "2").returncode == 0
    assert not history.exists()
    assert run("ask", "When?", "-l", "covered", "--max-new-tokens", "2").returncode == 0
    assert history.stat().st_mode & 0o777 == 0o600
    found = json.loads(run("coverage", "-l", "covered", "-o", "json").stdout)
    assert found["questions"] == 1
    assert 0 < found["selected"] <= found["pages"]
    shown = run("coverage", "--library", "covered")
    assert "a.txt" in shown.stdout
    assert "over 1 question;" in shown.stderr
    assert run("coverage", "-o", "xml").returncode == 2
    assert run("rm", "covered", "--yes").returncode == 0
    assert not history.exists()
