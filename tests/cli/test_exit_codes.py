"""How runs end: the exit code and the line on stderr, in this process, with an ingest that runs no model."""

from __future__ import annotations

import errno
import json

import pytest

import tscli
from tests.cli.fake_api import FakePreparation
from tscli.cli.app import run
from tscli.documents import Failure
from tscli.errors import LibraryError, PartialIngest, ResourceError, TscliError, UsageError


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


def _ingest(monkeypatch: pytest.MonkeyPatch, preparation: FakePreparation, *arguments: str) -> int:
    monkeypatch.setattr(tscli, "prepare", lambda *_: preparation, raising=False)
    return run(["ingest", "docs", *arguments])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (TscliError("it broke"), 1, "tscli: it broke"),
        (UsageError("not so"), 2, "tscli: not so"),
        (PartialIngest("some"), 3, "tscli: some"),
        (LibraryError("damaged"), 4, "tscli: damaged"),
        (ResourceError("full"), 5, "tscli: full"),
        (MemoryError(), 5, "out of memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate"), 5, "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 5, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/lib"), 5, "/lib: No space left on device; make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/lib"), 1, "/lib: Permission denied; check the path"),
        (ValueError("first\nsecond"), 1, "unexpected ValueError: first; run again with --debug"),
        (KeyboardInterrupt(), 130, "tscli: interrupted"),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, words: str
) -> None:
    assert _ingest(monkeypatch, FakePreparation(error), "--quiet") == code
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_an_interrupted_ingest_says_that_what_is_written_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ingest(monkeypatch, FakePreparation(KeyboardInterrupt())) == 130
    assert "segments written so far are kept; run the same command to go on" in capsys.readouterr().err


def test_debug_adds_the_traceback_and_keeps_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ingest(monkeypatch, FakePreparation(LibraryError("damaged")), "--debug") == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_message_made_of_document_text_cannot_drive_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _ingest(monkeypatch, FakePreparation(TscliError("bad \x1b]0;title\x07")))
    assert not {"\x1b", "\x07"} & set(capsys.readouterr().err)


def test_the_global_flags_may_stand_anywhere_but_not_after_two_dashes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def refuse(paths: list[object], *_: object) -> None:
        asked.extend(str(path) for path in paths)
        raise LibraryError("damaged")

    monkeypatch.setattr(tscli, "prepare", refuse, raising=False)
    assert run(["ingest", "docs", "--", "--debug"]) == 4
    assert asked == ["docs", "--debug"]
    assert "Traceback" not in capsys.readouterr().err


def test_plan_progress_and_summary_have_all_that_was_promised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ingest(monkeypatch, FakePreparation()) == 0
    printed = capsys.readouterr()
    for words in (
        "1,048,576 tokens: 576 cached, 1,048,000 to run",
        "about 3 min 12 s",
        "5.0 GiB on disk, 4.0 GiB of it new; 1.0 TiB free",
        "per token: KV 11.6 KiB, sketch 1.4 KiB; retrieval heads scan 264 B, 4.4% of the keys",
        "1 page without text: if they are scans, OCRmyPDF can add it",
        "note: layer 0 attends to its window only",
        "prefill 524,000 of 1,048,000 tokens, 1,000 tokens/s, 8 min 44 s left",
        "17 min 28 s, 1,000 tokens/s",
    ):
        assert words in " ".join(printed.err.split()), words
    assert printed.out == ""
    assert "\x1b" not in printed.err


def test_lost_files_are_named_once_each_and_the_json_has_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = (Failure("docs/x\n.pdf", "encrypted"), Failure("docs/y.pdf", "no pages"))
    assert _ingest(monkeypatch, FakePreparation(failures=lost), "--json", "--quiet") == 3
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "tscli: docs/x\u240a.pdf: encrypted",
        "tscli: docs/y.pdf: no pages",
        "tscli: 2 of 4 files could not be read; the rest is unaffected",
    ]
    assert [failure["file"] for failure in json.loads(printed.out)["failures"]] == ["docs/x\n.pdf", "docs/y.pdf"]


def test_a_dry_run_runs_nothing_and_says_so_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ingest(monkeypatch, FakePreparation(AssertionError("it was run")), "--dry-run", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["dry_run"] is True
    assert result["bytes_per_token"] == {
        "kv": 11_880,
        "sketch": 1440,
        "scanned": 264,
        "keys_scanned": 4 / 90,
        "head_keys": None,
        "of_other_heads": False,
    }
    assert result["tokens"] == {"total": 1_048_576, "cached": 576, "prefilled": 0}
