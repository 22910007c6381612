"""`tscli ask` and `tscli evidence` through their real entry point: the answer on stdout, the rest on stderr, JSON contracts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_answer_is_on_stdout_and_the_statistics_on_stderr(run: Run, library: str) -> None:
    done = run("ask", "When was the lighthouse at Corran Head built?", "-l", library, "--stats", "full", "--map")
    assert done.returncode == 0
    assert {info["library"]: info for info in json.loads(run("list", "--json").stdout)}[library]["last_used"]
    assert len(done.stdout.strip().splitlines()) == 1
    for words in (
        "0 computed again",
        "first token",
        "from start",
        "imports",
        "selected",
        "docs/a.txt",
        "layers",
        "[1] docs/a.txt",
        "█",
        "not proof of causation",
    ):
        assert words in done.stderr


def test_ask_takes_questions_from_a_file_and_from_standard_input(run: Run, library: str, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text(
        "When was the lighthouse at Corran Head built?\nWhat is the access code of the boathouse?\n"
    )
    done = run("ask", "-f", str(tmp_path / "q.txt"), "-o", str(tmp_path / "a.jsonl"), "-l", library, "--max-new-tokens", "4")
    assert done.returncode == 0, done.stderr
    assert "2 questions answered" in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["question"][:4] for line in lines] == ["When", "What"]
    assert set(lines[0]) >= {"answer", "sources", "timing", "tokens"}
    assert not {"process_start_s", "from_start_s"} & set(lines[0]["timing"])  # they share one process
    again = run("ask", "-f", str(tmp_path / "q.txt"), "-o", str(tmp_path / "a.jsonl"), "-l", library)
    assert "0 questions answered" in again.stderr
    assert "2 questions answered before" in again.stderr
    assert run("ask", "-l", library).returncode == 2
    assert run("ask", "Who?", "-o", "x", "-l", library).returncode == 2
    assert "the question is empty" in run("ask", "-", "-l", library).stderr  # standard input is empty here


def test_the_json_of_ask_has_its_keys(run: Run, library: str) -> None:
    done = run("ask", "What is the access code of the boathouse?", "-l", library, "--json")
    result = json.loads(done.stdout)
    assert set(result) == {
        "answer", "thoughts", "library", "model", "tokens", "timing", "selection", "sources", "citations", "weak", "token_ids",
        "versions", "instructions", "missing_words", "confidence",
    }  # fmt: skip
    assert set(result["tokens"]) == {"cached", "recomputed", "prompt", "generated", "thoughts"}
    assert result["tokens"]["recomputed"] == 0
    timing = result["timing"]
    parts = ("process_start_s", "import_s", "load_s", "question_s", "first_decode_s", "held_s")
    assert set(timing) == {*parts, "ttft_s", "from_start_s", "decode_tps", "total_s"}
    if sys.platform == "linux":
        assert timing["from_start_s"] == pytest.approx(sum(timing[part] for part in parts))
        assert min(timing[part] for part in parts if part != "held_s") > 0
    selection = {"k", "selected_mean", "attended_mean", "total", "cache_hit_rate", "scan", "fidelity", "reading"}
    assert set(result["selection"]) == selection
    assert set(result["sources"][0]) == {"library", "file", "page", "share"}
    assert set(result["citations"][0]) == {"library", "file", "page", "start", "end", "quote", "share"}
    assert {part["library"] for part in result["sources"] + result["citations"]} == {library}
    assert done.stderr == ""


def test_libraries_named_one_after_the_other_are_asked_together(run: Run, library: str, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    text = "The keeper of the mill at Tarrow is Brenna Oake. " + "The wheel turned all day. " * 60
    (tmp_path / "letters" / "c.txt").write_text(text)
    assert run("ingest", str(tmp_path / "letters"), "-l", "letters").returncode == 0
    asked = ("ask", "Who is the keeper of the mill at Tarrow?", "-l", library, "--library", "letters")
    done = run(*asked)
    assert done.returncode == 0, done.stderr
    assert "[1] letters: letters/c.txt" in done.stderr
    result = json.loads(run(*asked, "--json").stdout)
    assert result["library"] == f"{library} + letters"
    assert {part["library"] for part in result["sources"]} == {library, "letters"}
    assert (result["citations"][0]["library"], result["citations"][0]["file"]) == ("letters", "letters/c.txt")


def test_quiet_leaves_the_answer_only(run: Run, library: str) -> None:
    done = run("--quiet", "ask", "Where was the wind from?", "-l", library)
    assert done.stderr == ""
    assert done.stdout.strip()


def test_no_colour_and_no_animation_without_a_terminal(run: Run, library: str) -> None:
    assert "\x1b[" not in run("ask", "When?", "-l", library).stderr


def test_a_seed_gives_the_same_tokens_in_every_process(run: Run, library: str) -> None:
    def tokens(seed: str) -> list[int]:
        sampling = ("--temperature", "1.5", "--seed", seed, "--max-new-tokens", "16")
        done = run("ask", "What happened that day?", "-l", library, "--no-history", "--json", *sampling)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout)["token_ids"])

    first = tokens("7")
    assert first == tokens("7")
    assert any(first != tokens(seed) for seed in ("8", "9", "10"))  # it is sampled at all


def test_a_page_about_the_answer_is_written_where_it_is_wanted(run: Run, library: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run("ask", "What is <it>?", "-l", library, "--max-new-tokens", "3", "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert "What is &lt;it&gt;?" in page.read_text(encoding="utf-8")
    refused = run("ask", "What?", "-l", library, "--html", str(tmp_path / "absent" / "report.html"))
    assert (refused.returncode, refused.stdout) == (2, "")  # before the question is answered
    assert "absent is not a folder; create it, or name another file with --html" in refused.stderr
    refused = run("ask", "What?", "-l", library, "--max-new-tokens", "1", "--html", str(tmp_path))
    assert refused.returncode == 2
    assert "cannot be written (Is a directory); name another file with --html" in refused.stderr


def test_evidence_prints_passages_and_nothing_else(run: Run, library: str) -> None:
    shown = {
        form: run("evidence", "What is it?", "-l", library, "--max-new-tokens", "4", "-o", form)
        for form in ("text", "md", "json")
    }
    assert all(done.returncode == 0 for done in shown.values())
    found = json.loads(shown["json"].stdout)
    assert found
    assert {"file", "page", "quote", "share", "start", "end"} <= set(found[0])
    assert len(shown["text"].stdout.splitlines()) == len(found)
    assert shown["text"].stdout.startswith("[1] ")
    assert found[0]["file"].replace("-", r"\-") in shown["md"].stdout
    assert "not proof of causation" in shown["md"].stderr
    assert "selected by all heads of each layer, token by token" in shown["text"].stderr
    assert "selected by" not in shown["json"].stderr
    assert run("evidence", "What is it?", "-l", library, "-o", "xml").returncode == 2


def test_a_check_answers_again_without_the_cited_passages(run: Run, library: str) -> None:
    done = run("ask", "What is it?", "-l", library, "--max-new-tokens", "4", "--ablate", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ablation"]["changed"] == (found["ablation"]["answer"] != found["answer"])
    assert found["check"] == found["ablation"]  # as it was called in the version before
    shown = run("ask", "What is it?", "-l", library, "--max-new-tokens", "4", "--ablate")
    assert "without these passages" in shown.stderr
    assert run("ask", "What is it?", "-l", library, "--dense", "--ablate").returncode == 2
