"""Files and folders made to do harm lose themselves at worst: every one is accounted for, in bounded time and memory."""

from __future__ import annotations

import importlib
import os
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from tests.documents.hostile import BOMBS, pages_of
from tests.harness.hostile import COLLECTIONS, fuzz
from tscli.documents import Loaded, WalkOptions, load, walk, worker
from tscli.documents.globs import SETS, bounded
from tscli.documents.markup import html_text
from tscli.documents.plain import clean, decode
from tscli.errors import UsageError

LOAD = importlib.import_module("tscli.documents.load")  # the package's name for it is its function's


def read(folder: Path, **limits: float) -> Loaded:
    return load([folder], page_seconds=limits.pop("page_seconds", 10.0), memory_bytes=1 << 30, workers=1, **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_harms_nothing_but_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BOMBS[name])
    (tmp_path / "z.txt").write_text("Behind it.")
    started = time.monotonic()
    loaded = read(tmp_path)
    assert time.monotonic() - started < 60
    told = {document.path.split("/")[-1] for document in loaded.documents}
    told |= {failure.path.split("/")[-1] for failure in loaded.failures}
    assert told == {name, "z.txt"}
    assert loaded.documents[-1].pages == ("Behind it.",)


def test_mutated_files_are_read_or_refused_and_no_run_breaks() -> None:
    found = fuzz(3, 1, list(COLLECTIONS))
    assert found["broken"] == []
    assert found["files"] == 48


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda text: text.encode("utf-16", "surrogatepass"))))
def test_any_bytes_make_clean_text(data: bytes) -> None:
    for text in (clean(decode(data).text), clean(html_text(b"<p>" + data).text)):
        text.encode("utf-8")
        assert not set(text) & {"\0", "\r"}


def test_a_file_of_too_many_pages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MOST_PAGES", 9)
    (tmp_path / "a.pdf").write_bytes(pages_of(b"3 0 R " * 10, 10))
    with pytest.raises(ValueError, match="it claims to have 10 pages"):
        list(worker.read(tmp_path / "a.pdf", (), 1))


@pytest.mark.slow
def test_thirty_thousand_pages_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pages_of(b"3 0 R " * 30_000, 30_000))
    assert [len(document.pages) for document in read(tmp_path).documents] == [30_000]


def test_a_file_that_takes_too_long_keeps_the_pages_that_were_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pages_of(b"3 0 R " * 1000, 1000))
    document = read(tmp_path, file_seconds=0.0).documents[0]
    assert [page.strip() for page in document.pages] == ["Hello.", *[""] * 999]
    assert "given up because the file took too long" in document.warnings[0]


def test_more_text_than_any_context_holds_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOAD, "MOST_CHARACTERS", 1000)
    (tmp_path / "a.pdf").write_bytes(pages_of(b"3 0 R " * 300, 300))
    assert "more than 1,000 characters" in read(tmp_path).failures[0].reason
    for name in ("b.txt", "c.txt"):
        (tmp_path / name).write_text("word " * 120)
    with pytest.raises(UsageError, match="choose fewer"):
        read(tmp_path)


@pytest.mark.slow
def test_ten_gigabytes_of_nothing_fail_in_bounded_time_and_memory(tmp_path: Path) -> None:
    for name, head in (("a.txt", b"word " * 4000), ("b.pdf", b"%PDF-1.7\n"), ("c.html", b"<p>" * 4000)):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(10 << 30)
    loaded = read(tmp_path)
    assert [failure.path[-5:] for failure in loaded.failures] == ["a.txt", "b.pdf", ".html"]
    assert all("took" in failure.reason or "cannot be read" in failure.reason for failure in loaded.failures)


def test_a_pdf_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here its second reading, behind a lost page, finds another file."""
    file = tmp_path / "a.pdf"
    file.write_bytes(pages_of(b"3 0 R " * 3, 3))
    answer = LOAD.WorkerProcess.answer

    def lose_the_second(process: object) -> object:
        message = answer(process)
        if message[:2] == ("page", 2) and file.stat().st_size < 2000:
            process.stop()  # type: ignore[attr-defined]
            file.write_bytes(pages_of(b"3 0 R " * 3, 3, b"BT /F 12 Tf 72 700 Td (Another text.) Tj ET" + b" " * 2000))
            return LOAD.Ended("took too long", False)
        return message

    monkeypatch.setattr(LOAD.WorkerProcess, "answer", lose_the_second)
    loaded = read(tmp_path)
    assert loaded.documents == ()
    assert "changed while it was read" in loaded.failures[0].reason


def test_a_pdf_that_is_touched_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(pages_of(b"3 0 R " * 3, 3))
    messages = worker.read(file, (), 1)
    assert next(messages)[0] == "open"
    file.write_bytes(pages_of(b"3 0 R " * 4, 4))
    with pytest.raises(ValueError, match="changed while it was being read"):
        list(messages)


@pytest.mark.parametrize("name", [".ignore", ".rgignore"])
def test_a_pipe_or_a_device_that_calls_itself_an_ignore_file_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / name)
    (tmp_path / "sub" / name).symlink_to("/dev/zero")
    (tmp_path / "sub" / "a.txt").write_text("text")
    assert [file.source.name for file in walk([tmp_path], WalkOptions())] == ["a.txt"]


def test_an_ignore_file_of_gigabytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".ignore").write_text("a\n")
    os.truncate(tmp_path / ".ignore", 10 << 30)
    with pytest.raises(UsageError, match="--no-ignore"):
        walk([tmp_path])
    assert walk([tmp_path], WalkOptions(no_ignore=True)) == []


@pytest.mark.parametrize("rule", ["*" + "a*" * 30 + "b", "**/a/" * 12 + "b", "**/" + "*a*a*a*/**/" * 4 + "b"])
def test_no_rule_of_an_ignore_file_takes_long_on_any_name(tmp_path: Path, rule: str) -> None:
    deep = tmp_path.joinpath(*["a"] * 200)
    deep.mkdir(parents=True)
    (deep / ("a" * 250)).write_text("text")
    (tmp_path / ".ignore").write_text(f"{rule}\n")
    started = time.monotonic()
    assert len(walk([tmp_path])) == 1
    assert time.monotonic() - started < 10


def test_a_bounded_rule_matches_what_the_rule_matches() -> None:
    choose = random.Random(3)
    pieces = ("*", "a", "b", "?", "[ab]", "[!a]", "/", "**", "/**/", "\\*", ".", "c", "-")
    for _ in range(1500):
        rule = "".join(choose.choice(pieces) for _ in range(choose.randint(1, 8)))
        for pattern in GitIgnoreSpec.from_lines([rule]).patterns if rule.strip("\\") else ():
            if pattern.regex is None:
                continue
            # pathspec lets a set match a slash, git does not
            plain = re.compile(SETS.sub(lambda found: f"(?!/){found[1]}" if found[1] else found[0], pattern.regex.pattern))
            ours = bounded(pattern.regex)
            for _ in range(10):
                folders = (
                    "".join(choose.choice("aabbc*.-") for _ in range(choose.randint(1, 4))) for _ in range(choose.randint(1, 5))
                )
                name = "/".join(folders) + choose.choice(("", "/"))
                assert bool(ours.search(name)) == bool(plain.search(name)), (rule, name)


def test_links_with_names_too_long_and_folders_too_deep_are_told(tmp_path: Path) -> None:
    (tmp_path / "long").symlink_to("z" * 300)
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(25):  # deeper than a path can say
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        Path("a.txt").write_text("text")
    finally:
        os.chdir(here)
    problems = [file.problem for file in walk([tmp_path])]
    assert len(problems) == 2
    assert any("leads nowhere" in (problem or "") for problem in problems)
    assert any("too long" in (problem or "") for problem in problems)
