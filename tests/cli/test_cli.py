"""The command line through its real entry point: results on stdout, the rest on stderr, exit codes, JSON contracts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents.hostile import pdf_of, stream
from tests.warm import run_tscli

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
TEXT = "The lighthouse at Corran Head was built in 1874. The access code of the boathouse is KX-4471. "


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home: Path) -> Run:
    def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_tscli(*arguments, **{"TSCLI_HOME": str(home), "TSCLI_CONFIG": os.devnull, "COLUMNS": "100", **environment})

    return command


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("w") / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT + "Nothing else happened on that day. " * 60)
    (folder / "b.md").write_text("# Notes\n\n" + "The wind was from the north and the sea was calm. " * 60)
    return folder


@pytest.fixture(scope="module")
def library(run: Run, docs: Path) -> str:
    done = run("ingest", str(docs), "--library", "lib")
    assert done.returncode == 0, done.stderr
    return "lib"


def test_help_and_version_import_no_torch() -> None:
    program = (
        "import sys\nfrom tscli.cli.app import run\n"
        "code = run(['--help'])\n"
        "assert code == 0 and not {'torch', 'transformers', 'numpy'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT)


def test_every_command_is_described_on_one_whole_line(run: Run) -> None:
    commands = run("--help", COLUMNS="80").stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert len(commands) > 10
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


def test_importing_the_package_imports_no_torch() -> None:
    program = "import sys, tscli\nassert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_every_name_of_the_api_is_there() -> None:
    import tscli
    from tscli import internals

    for module in (tscli, internals):
        assert [name for name in module.__all__ if getattr(module, name, None) is None] == []
    assert set(tscli.__all__) & set(internals.__all__) == set()
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tscli.nonsense


def test_ingest_shows_plan_and_summary_on_stderr_and_nothing_on_stdout(run: Run, docs: Path) -> None:
    done = run("ingest", str(docs), "-l", "shown")
    assert done.returncode == 0
    assert done.stdout == ""
    for words in ("Plan for library shown", "docs/a.txt", "docs/b.md", "tokens/s", "peak memory"):
        assert words in done.stderr


def test_a_dry_run_stops_after_the_plan(run: Run, docs: Path, home: Path) -> None:
    done = run("ingest", str(docs), "-l", "dry", "--dry-run")
    assert done.returncode == 0
    assert "to run" in done.stderr
    assert not (home / "libraries" / "dry").exists()


def test_the_json_of_ingest_has_its_keys(run: Run, docs: Path, library: str) -> None:
    done = run("ingest", str(docs), "-l", library, "--json")
    result = json.loads(done.stdout)
    assert {"library", "documents", "tokens", "bytes", "seconds", "peak_rss_bytes"} <= set(result)
    assert result["tokens"]["prefilled"] == 0
    assert result["tokens"]["cached"] == result["tokens"]["total"] > 0
    assert [set(document) for document in result["documents"]] == [{"file", "pages", "tokens", "status"}] * 2


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
        "versions", "instructions",
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


def test_quiet_leaves_the_answer_only(run: Run, library: str) -> None:
    done = run("--quiet", "ask", "Where was the wind from?", "-l", library)
    assert done.stderr == ""
    assert done.stdout.strip()


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
        (("ask", "x", "--html", "/no/where/a.html"), 2, "/no/where is no folder"),
        (("eval", "questions", "/no/where"), 2, "name a file of JSON lines"),
        (("eval", "questions", "q.jsonl", "--resume", "a.jsonl"), 2, "No such option: --resume"),
        (("eval", "tasks", "--length", "1k", "--dense"), 2, "No such option: --dense"),
        (("eval", "tasks", "--length", "1k", "--picture", "a.docx"), 2, "ends in .png, .svg or .pdf"),
        (("eval", "tasks", "--length", "1k", "--per-task", "0"), 2, "--per-task"),
        (("eval", "tasks", "--length", "1k", "--folder", "docs"), 2, "No such option: --folder"),
        (("eval", "tasks", "--length", "1k", "--kv-dtype", "int3"), 2, "--kv-dtype int3: choose auto, bf16, int8"),
        (("eval", "questions", "q.jsonl", "--documents", "joint"), 2, "--documents goes with --folder; leave it out"),
        (("eval", "questions", "q.jsonl", "--folder", ".", "-l", "lib"), 2, "--library goes with a library's questions"),
        (("eval", "tasks"), 2, "Missing option '--length'"),
        (("bench", "--length", "8k", "attention"), 2, "--length stands before attention; write the flags behind it"),
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


def test_a_pdf_of_which_every_page_is_lost_is_named_and_the_exit_code_says_so(run: Run, tmp_path: Path) -> None:
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << >> >> >>"
    # What it draws unpacks to more than is read.
    bomb = stream(zlib.compress(zlib.compress(bytes(1 << 27), 9), 9), b"/Filter [/FlateDecode /FlateDecode]")
    pages = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", page, bomb]
    (tmp_path / "lost.pdf").write_bytes(pdf_of(pages))
    (tmp_path / "good.txt").write_text(TEXT)
    done = run("ingest", str(tmp_path), "-l", "partial", "--dry-run", "--json")
    assert done.returncode == 3
    assert [failure["file"].endswith("lost.pdf") for failure in json.loads(done.stdout)["failures"]] == [True]


def test_files_that_cannot_be_read_are_named_and_the_rest_is_ingested(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text(TEXT)
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4 junk")
    (tmp_path / "evil\x1b[31m.docx").write_bytes(b"PK\0\0")
    done = run("ingest", str(tmp_path), "-l", "partial")
    assert done.returncode == 3
    assert "bad.pdf: cannot be read" in done.stderr
    assert "2 of 3 files could not be read" in done.stderr
    assert "\x1b[31m" not in done.stderr
    assert json.loads(run("info", "partial", "--json").stdout)["documents"][0]["file"].endswith("good.txt")


def test_over_the_budget_nothing_is_cut_and_the_excess_is_named(run: Run, docs: Path) -> None:
    done = run("ingest", str(docs), "-l", "over", "--max-tokens", "100")
    assert done.returncode == 2
    assert "more than the limit of 100" in done.stderr


def test_a_damaged_library_is_refused_and_repaired_by_ingesting_again(run: Run, docs: Path, home: Path) -> None:
    assert run("ingest", str(docs), "-l", "hurt", "--k", "100").returncode == 0
    segment = next((home / "libraries" / "hurt" / "segments").glob("*.pt"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    assert run("ask", "x", "-l", "hurt").returncode == 4
    assert run("verify", "hurt").returncode == 4
    assert run("ingest", str(docs), "-l", "hurt", "--k", "100").returncode == 0
    assert run("verify", "hurt").returncode == 0


def test_list_info_prune_and_rm(run: Run, docs: Path) -> None:
    assert run("ingest", str(docs), "-l", "short").returncode == 0
    assert "short" in run("list").stdout
    assert "short" in [info["library"] for info in json.loads(run("list", "--json").stdout)]
    assert "docs/a.txt" in run("info", "short").stdout
    assert json.loads(run("prune", "short", "--json").stdout) == {"library": "short", "files": 0, "bytes": 0}
    assert run("rm", "short", "--yes").returncode == 0
    assert "short" not in [info["library"] for info in json.loads(run("list", "--json").stdout)]


def test_doctor_says_what_there_is_and_what_a_library_needs(run: Run, home: Path) -> None:
    text = run("doctor", "--tokens", "2k").stdout
    assert text.startswith("versions   python ")
    assert "2,000 tokens take" in text or "2,048 tokens take" in text
    found = json.loads(run("doctor", "--json").stdout)
    assert found["home"] == str(home)
    assert found["library_bytes"] > found["tokens"] * found["kv_bytes_per_token"]
    assert run("path").stdout.strip() == str(home)


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
    assert set(report) == {"library", "model", "results", "answers", "notes", "settings", "tokens", "versions"}
    assert [(tally["kind"], tally["n"]) for tally in report["results"]] == [("lookup", 1), ("absent", 1), ("all", 2)]
    figures = {"n", "right", "right_ci95", "exact", "ci95", "f1", "page_first", "cited", "refused", "ttft_s"}
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


def test_eval_compares_kinds_of_documents_in_libraries_that_do_not_stay(
    run: Run, docs: Path, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "When was the lighthouse at Corran Head built?", "answer": "1874"}')
    before = sorted(home.rglob("*"))
    done = run("eval", "questions", str(file), "--folder", str(docs), "--kv-dtype", "int8", "-o", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    names = ["tokenselect-documents=joint", "tokenselect-documents=independent"]
    assert [row["method"] for row in report["results"]] == [row["method"] for row in report["answers"]] == names
    assert report["answers"][0]["file"] == "docs/a.txt"
    assert (report["library"], report["settings"]["kv_dtype"]) == (str(docs), "int8")
    table = run("eval", "questions", str(file), "--folder", str(docs), "--documents", "joint", "--baselines").stdout
    methods = [line.split(" | ")[0] for line in table.splitlines()[2:] if line.startswith("|")]
    assert methods == [f"| {name}" for name in (names[0], "rag", "rag-2", "everything", "sentence", "none")]
    assert "\ndocument: skipped, no question names a file" in table
    assert sorted(home.rglob("*")) == before
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "bad.pdf").write_bytes(b"%PDF-1.4 junk")
    lost = run("eval", "questions", str(file), "--folder", str(tmp_path / "docs"))
    assert lost.returncode == 2
    assert "bad.pdf" in lost.stderr


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


def test_no_colour_and_no_animation_without_a_terminal(run: Run, library: str) -> None:
    assert "\x1b[" not in run("ask", "When?", "-l", library).stderr


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


def test_asking_the_embedded_reader_imports_no_transformers(home: Path, library: str) -> None:
    program = (
        "import sys\nfrom tscli.cli.app import run\n"
        f"code = run(['ask', '--library', '{library}', 'Who?', '--max-new-tokens', '1'])\n"
        "assert code == 0 and 'torch' in sys.modules and 'transformers' not in sys.modules"
    )
    settings = {**os.environ, "TSCLI_HOME": str(home)}
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT, env=settings)


def test_coverage_follows_the_questions_that_are_kept(run: Run, docs: Path, home: Path) -> None:
    assert run("ingest", str(docs), "-l", "covered").returncode == 0
    history = home / "libraries" / "covered" / "history.jsonl"
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
    assert "absent is no folder; make it, or name another file with --html" in refused.stderr
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
