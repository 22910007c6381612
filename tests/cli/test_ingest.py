"""`tscli ingest` through its real entry point: plan, summary, JSON, files that cannot be read, repair by ingesting again."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from tests.cli.conftest import TEXT, Run
from tests.documents.hostile import pdf_of, stream


def test_ingest_shows_plan_and_summary_on_stderr_and_nothing_on_stdout(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "docs"  # not the shared documents, whose segments another library may have
    folder.mkdir()
    for name in ("a.txt", "b.md"):
        (folder / name).write_text(f"{name} is about the tide. " * 60)
    done = run("ingest", str(folder), "-l", "shown")
    assert done.returncode == 0
    assert done.stdout == ""
    for words in ("Plan for library shown", "docs/a.txt", "docs/b.md", "tokens/s", "peak memory"):
        assert words in done.stderr


def test_a_dry_run_stops_after_the_plan(run: Run, docs: Path, shared_home: Path) -> None:
    done = run("ingest", str(docs), "-l", "dry", "--dry-run")
    assert done.returncode == 0
    assert "to run" in done.stderr
    assert not (shared_home / "libraries" / "dry").exists()


def test_the_json_of_ingest_has_its_keys(run: Run, docs: Path, library: str) -> None:
    done = run("ingest", str(docs), "-l", library, "--json")
    result = json.loads(done.stdout)
    assert {"library", "documents", "tokens", "bytes", "seconds", "peak_rss_bytes"} <= set(result)
    assert result["tokens"]["prefilled"] == 0
    assert result["tokens"]["cached"] == result["tokens"]["total"] > 0
    assert [set(document) for document in result["documents"]] == [{"file", "pages", "tokens", "status"}] * 2


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


def test_a_damaged_library_is_refused_and_repaired_by_ingesting_again(run: Run, docs: Path, shared_home: Path) -> None:
    assert run("ingest", str(docs), "-l", "hurt", "--k", "100").returncode == 0
    segment = next((shared_home / "libraries" / "hurt" / "segments").glob("*.pt"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    assert run("ask", "x", "-l", "hurt").returncode == 4
    assert run("verify", "hurt").returncode == 4
    assert run("ingest", str(docs), "-l", "hurt", "--k", "100").returncode == 0
    assert run("verify", "hurt").returncode == 0
