"""`tscli eval` and `tscli bench` through their real entry point: tables and JSON on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tscli
from tests.answer.voting_model import save_voting_model
from tests.cli.conftest import ROOT, Run
from tscli.cli.app import run as run_here


def test_eval_scores_a_file_of_questions(run: Run, library: str, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    lines = [
        {"question": "When was the lighthouse at Corran Head built?", "answer": "1874", "file": "docs/a.txt", "page": 1},
        {"question": "Who?", "answer": None, "kind": "absent"},
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    done = run("eval", "questions", str(file), "-l", library, "-o", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    about = {"library", "model", "settings", "keys_scanned", "tokens", "versions"}
    assert set(report) == {"results", "answers", "notes", *about}
    assert report["keys_scanned"] is None  # the embedded reader's heads all vote
    assert [(tally["kind"], tally["n"]) for tally in report["results"]] == [("lookup", 1), ("absent", 1), ("all", 2)]
    figures = {"n", "right", "right_ci95", "exact", "ci95", "f1", "page_first", "cited", "refused", "ttft_s"}
    figures |= {"known", "unsure", "right_if_sure", "right_if_unsure"}
    assert set(report["results"][0]) == {"method", "kind", *figures}
    assert report["answers"][0]["file"] == "docs/a.txt"
    table = run("eval", "questions", str(file), "-l", library, "--answers", "--baselines").stdout
    assert table.startswith("| method | kind | n | right | 95% | exact match |")
    assert "| tokenselect | Who? | (not there) |" in table
    assert "| none | absent | 1 | 1 (100%)" in table
    assert all(f"| {method} | lookup | 1 |" in table for method in ("document", "rag", "rag-2", "sentence"))
    assert "| sentence | When was the lighthouse at Corran Head built? | 1874 | The lighthouse at Corran Head was" in table
    limited = json.loads(run("eval", "questions", str(file), "-l", library, "--limit", "1", "-o", "json").stdout)
    assert len(limited["answers"]) == 1
    file.write_text("{}\n")
    refused = run("eval", "questions", str(file), "-l", library)
    assert refused.returncode == 2
    assert "questions.jsonl:1" in refused.stderr


def test_eval_says_what_share_of_the_keys_is_scanned(
    small_model: Path, tmp_path: Path, write_documents: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    load = save_voting_model(small_model, tmp_path / "voting")
    tscli.prepare([write_documents(words=100)], "voted", load).run()
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"question": "Where is the stone?", "answer": "here"}))
    assert run_here(["eval", "questions", str(file), "-l", "voted", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys_scanned"] == 3 / 6  # of 3 layers of 2 kv heads
    assert run_here(["eval", "questions", str(file), "-l", "voted"]) == 0
    assert capsys.readouterr().out.endswith("\nretrieval heads scan 50.0% of the keys for a question\n")


def test_a_killed_eval_goes_on_where_it_was_and_ends_with_the_same_figures(
    run: Run, library: str, shared_home: Path, tmp_path: Path
) -> None:
    file, kept = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    asked = [{"question": f"When was the lighthouse number {number} built?", "answer": "1874"} for number in range(6)]
    file.write_text("\n".join(map(json.dumps, asked)))
    command = ["eval", "questions", str(file), "-l", library, "--baseline", "rag", "-o", "json"]
    undisturbed = json.loads(run(*command).stdout)
    environment = {
        **os.environ,
        "TSCLI_HOME": str(shared_home),
        "TSCLI_CONFIG": os.devnull,
        "PYTHONPATH": f"{ROOT}:{ROOT}/kernels",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tscli", *command, "--resume", str(kept)], env=environment, stdout=subprocess.PIPE
    )
    while process.poll() is None and (not kept.exists() or kept.read_text().count("\n") < 3):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    before = kept.read_text()
    assert 3 <= before.count("\n") < 1 + 2 * len(asked)
    done = run(*command, "--resume", str(kept))
    assert done.returncode == 0, done.stderr
    assert f"answers.jsonl: {before.count(chr(10)) - 1} answers from before" in done.stderr
    assert kept.read_text().startswith(before[: before.rfind("\n") + 1])
    assert kept.read_text().count("\n") == 1 + 2 * len(asked)
    resumed = json.loads(done.stdout)
    assert untimed(resumed["answers"]) == untimed(undisturbed["answers"])
    assert untimed(resumed["results"]) == untimed(undisturbed["results"])
    assert json.loads(run(*command, "--resume", str(kept)).stdout) == resumed
    file.write_text(file.read_text().replace("1874", "1875"))
    refused = run(*command, "--resume", str(kept))
    assert refused.returncode == 2
    assert "was made with other settings: questions (there" in refused.stderr


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("seconds", "ttft_s")} for row in rows]


@pytest.mark.slow
def test_eval_compares_kinds_of_documents_in_libraries_that_do_not_stay(
    run: Run, docs: Path, shared_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "When was the lighthouse at Corran Head built?", "answer": "1874"}')
    before = sorted(shared_home.rglob("*"))
    command = ["eval", "questions", str(file), "--folder", str(docs), "--kv-dtype", "int8", "-o", "json"]
    done = run(*command, "--resume", str(tmp_path / "answers.jsonl"))
    assert done.returncode == 0, done.stderr
    again = run(*command, "--resume", str(tmp_path / "answers.jsonl"))
    assert "answers.jsonl: 2 answers from before" in again.stderr
    assert json.loads(again.stdout) == json.loads(done.stdout)
    report = json.loads(done.stdout)
    names = ["tokenselect-documents=joint", "tokenselect-documents=independent"]
    assert [row["method"] for row in report["results"]] == [row["method"] for row in report["answers"]] == names
    assert report["answers"][0]["file"] == "docs/a.txt"
    assert (report["library"], report["settings"]["kv_dtype"]) == (str(docs), "int8")
    table = run("eval", "questions", str(file), "--folder", str(docs), "--documents", "joint", "--baselines").stdout
    methods = [line.split(" | ")[0] for line in table.splitlines()[2:] if line.startswith("|")]
    assert methods == [f"| {name}" for name in (names[0], "rag", "rag-2", "everything", "sentence", "none")]
    assert "\ndocument: skipped, no question names a file" in table
    assert sorted(shared_home.rglob("*")) == before
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "bad.pdf").write_bytes(b"%PDF-1.4 junk")
    lost = run("eval", "questions", str(file), "--folder", str(tmp_path / "docs"))
    assert lost.returncode == 2
    assert "bad.pdf" in lost.stderr


@pytest.mark.slow
def test_eval_compares_methods_at_lengths(run: Run, tmp_path: Path) -> None:
    methods = ["streaming", "tokenselect", "tokenselect-scan=exact"]
    asked = [
        "eval",
        "tasks",
        "--length",
        "1k",
        "--per-task",
        "2",
        "--tasks",
        "passkey,multikey",
        "--methods",
        ",".join(methods),
    ]
    arguments = [*asked, "--resume", str(tmp_path / "answers.jsonl")]
    done = run(*arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    same = {"length": 1024, "method": methods[2], "other": "tokenselect", "n": 3, "identical": 3}  # no sketch is made of so few
    assert json.loads(done.stdout)["agreement"] == [same]
    assert set(results[0]) == {"task", "length", "depth", "method", "n", "accuracy", "ci95"}
    whole = {(r["task"], r["method"]): r["n"] for r in results if r["depth"] is None}
    assert whole == {(task, method): n for task, n in (("passkey", 1), ("multikey", 2)) for method in methods}
    table = run(*arguments).stdout.splitlines()
    assert table[0] == "| task | length | n | streaming | tokenselect-scan=exact | tokenselect |"
    assert table[4:] == ["", "1,024 tokens, tokenselect-scan=exact: 3 of 3 answers identical with tokenselect"]
    assert run(*arguments, "-o", "csv").stdout.startswith("task,length,depth,method,n,accuracy,ci95\n")
    drawn = run(*asked, "-o", "table", "--fidelity", "1").stdout
    assert "mean accuracy of all tasks, by length" in drawn
    assert "by depth of the needle: tokenselect" in drawn
    assert "fidelity of decode steps" in drawn
    assert run("eval").returncode == 2
    assert "choose dense" in run("eval", "tasks", "--length", "1k", "--methods", "x").stderr


def test_the_table_of_bench_is_markdown_and_its_json_has_llama_benchs_names(run: Run) -> None:
    arguments = ("bench", "--length", "1k", "--n-gen", "4", "-r", "2")
    table = run(*arguments).stdout.splitlines()
    assert table[0].startswith("| model | size | params | backend")
    assert len(table) == 2 + 5 + 2
    assert table[-1].startswith("versions: torch ")
    rows = json.loads(run(*arguments, "-o", "json").stdout)
    assert [(row["test"], row["method"]) for row in rows] == [
        ("pp1024", "dense"),
        ("pp1024", "tokenselect"),
        ("tg4 @ d1024", "dense"),
        ("tg4 @ d1024", "tokenselect"),
        ("tg4 @ d1024", "tokenselect-answer"),
    ]
    names = {"n_prompt", "n_gen", "n_depth", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts"}
    more = {"ttft_ms", "tpot_ms", "itl_ms", "n_selected", "cache_hit_rate", "bytes_read", "peak_rss", "versions"}
    assert names | more <= set(rows[3])
    answer = rows[4]
    assert answer["ttft_ms"] == pytest.approx(answer["question_ms"] + answer["first_decode_ms"])
    assert answer["question_ms"] > answer["first_decode_ms"] > 0  # sixteen tokens read twice, but for one pass
    assert rows[2]["ratio"] == 1.0
