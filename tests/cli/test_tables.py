"""A table in every format: what people read, and the records that programs read."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tscli.cli.tables import Table, check_format, write
from tscli.errors import UsageError

TABLE = Table(("name", "size"), "<>", [("a|b\x1b[2J\nc", "1 KiB"), ("longer", "10 KiB")])
RECORDS = [{"name": "a\x1b[2J", "sizes": [1, 2]}, {"name": "b", "note": "only here"}]


def test_markdown_has_aligned_columns_and_no_cell_ends_one(capsys: pytest.CaptureFixture[str]) -> None:
    write("md", TABLE, RECORDS)
    assert capsys.readouterr().out.splitlines() == [
        "| name | size |",
        "| --- | ---: |",
        "| a/b\ufffd[2J\u240ac | 1 KiB |",
        "| longer | 10 KiB |",
    ]


def test_text_has_columns_as_wide_as_their_cells(capsys: pytest.CaptureFixture[str]) -> None:
    write("text", Table((), "<><", [("a", "1", "x"), ("bcd", "23", "")]), ())
    assert capsys.readouterr().out == "a     1  x\nbcd  23\n"


def test_an_empty_table_prints_nothing_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    write("text", Table((), "<", []), ())
    assert capsys.readouterr().out == ""


def test_csv_has_a_column_for_every_field_of_any_record(capsys: pytest.CaptureFixture[str]) -> None:
    write("csv", TABLE, RECORDS)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows == [
        {"name": "a\ufffd[2J", "sizes": "[1, 2]", "note": ""},
        {"name": "b", "sizes": "", "note": "only here"},
    ]


def test_json_lines_and_json_hold_the_very_records(capsys: pytest.CaptureFixture[str]) -> None:
    write("jsonl", TABLE, RECORDS)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == RECORDS
    write("json", TABLE, RECORDS)
    assert json.loads(capsys.readouterr().out) == RECORDS
    write("json", TABLE, RECORDS, {"all": 2})
    assert json.loads(capsys.readouterr().out) == {"all": 2}


def test_a_format_that_a_command_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="--output xml: choose md, csv"):
        check_format("xml", ("md", "csv"))
