"""Bad input through the real entry point: one clear error on stderr and its exit code, a traceback only with --debug."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nonsense",), 2, "No such command"),
        (("ask",), 2, "ask one question in quotes"),
        (("ask", "x", "-l", "absent"), 4, "tscli ingest"),
        (("ask", "x", "-l", "../bad name/.."), 4, "no library"),
        (("ask", "x", "-l", "bad name"), 2, "library name"),
        (("ask", "x", "-l", "lib", "--k", "many"), 2, "share such as 20%"),
        (("ask", "x", "-l", "lib", "--k", "100000"), 2, "trained for"),
        (("ask", "x", "-l", "lib", "--stats", "some"), 2, "--stats"),
        (("ask", " ", "-l", "lib"), 2, "empty"),
        (("ask", "x", "-l", "lib", "--device", "cuda:7"), 2, "--device"),
        (("ask", "x", "-l", "lib", "--dtype", "int3"), 2, "--dtype"),
        (("ask", "x", "-l", "lib", "--model", "/no/where"), 1, "no such folder"),
        (("ingest", "/no/where"), 2, "no such file"),
        (("ingest", ".", "--max-tokens", "lots"), 2, "number of tokens"),
        (("ingest", ".", "--pool", "-3"), 2, "--pool is -3; it must be 0 or an odd number"),
        (("ask", "x", "--top", "-1"), 2, "--top"),
        (("ask", "-f", "/no/where"), 2, "name a text file with -f"),
        (("ask", "x", "--html", "/no/where/a.html"), 2, "/no/where is not a folder"),
        (("eval", "questions", "/no/where"), 2, "name a file of JSON lines"),
        (
            ("eval", "questions", "samples/questions.jsonl", "--resume", "/no/where/a"),
            2,
            "/no/where is not a folder; create it",
        ),
        (("eval", "tasks", "--length", "1k", "--dense"), 2, "No such option: --dense"),
        (("eval", "tasks", "--length", "1k", "--picture", "a.docx"), 2, "ends in .png, .svg or .pdf"),
        (("eval", "tasks", "--length", "1k", "--per-task", "0"), 2, "--per-task"),
        (("eval", "tasks", "--length", "1k", "--folder", "docs"), 2, "No such option: --folder"),
        (("eval", "tasks", "--length", "1k", "--kv-dtype", "int3"), 2, "--kv-dtype int3: choose auto, bf16, int8, model"),
        (("eval", "questions", "q.jsonl", "--documents", "joint"), 2, "--documents applies only with --folder; leave it out"),
        (("eval", "questions", "q.jsonl", "--folder", ".", "-l", "lib"), 2, "--library applies only without --folder"),
        (("eval", "tasks"), 2, "Missing option '--length'"),
        (("bench", "--length", "8k", "attention"), 2, "--length is before attention; write the flags after it"),
        (("rm", "lib"), 2, "--yes"),
        (("rm", "absent", "--yes"), 4, "no library"),
        (("info", "absent"), 4, "no library"),
        (("bench", "--length", "8k", "-o", "xml"), 2, "--output"),
    ],
)
def test_bad_input_gets_a_clear_error_and_its_exit_code(
    run: Run, library: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(run: Run) -> None:
    assert "Traceback" in run("--debug", "ask", "x", "-l", "absent").stderr
