"""What is printed cannot drive the terminal, and numbers are for people."""

from __future__ import annotations

import io
import json
import sys

import pytest

from tscli.cli.output import as_json, counted, duration, safe, safe_line, size

HOSTILE = "a\x1b[31mb\x9b2Jc\x07d\re\u202ef\udce9g\x7f"


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\x07", "\r", "\x08", "\x7f", "\u202e", "\u2066", "\udce9", "\x00"])
def test_no_character_that_drives_a_terminal_or_breaks_utf8_is_left(character: str) -> None:
    assert character not in safe(f"x{character}y")
    safe(f"x{character}y").encode("utf-8")


def test_text_with_line_breaks_tabs_accents_and_other_scripts_stays_as_it_is() -> None:
    text = "Überfahrt\tum acht\n灯台 и маяк, עברית, e\u0301 😀"
    assert safe(text) == text


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\u2028", "\u2029"])
def test_a_file_name_cannot_begin_a_line_of_its_own(separator: str) -> None:
    assert safe_line(f"a{separator}b") == "a\u240ab"


def test_json_drives_no_terminal_and_gives_the_very_strings_back() -> None:
    text = as_json({"file": HOSTILE, "answer": "Grüße"})
    assert json.loads(text) == {"file": HOSTILE, "answer": "Grüße"}
    assert "Grüße" in text
    assert not {"\x1b", "\x9b", "\x07", "\r", "\u202e", "\udce9", "\x7f"} & set(text)


def test_json_is_ascii_where_stdout_cannot_carry_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = as_json({"answer": "Grüße"})
    assert text.isascii()
    assert json.loads(text) == {"answer": "Grüße"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.118, "0.12 s"),
        (9.996, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min 0 s"),
        (192, "3 min 12 s"),
        (3599.8, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (1.2 * 2**30, "1.2 GiB"),
        (3 * 2**50, "3,072.0 TiB"),
    ],
)
def test_sizes_are_for_people(num_bytes: float, words: str) -> None:
    assert size(num_bytes) == words


def test_one_is_not_a_plural() -> None:
    assert [counted(n, "page") for n in (0, 1, 1_048_576)] == ["0 pages", "1 page", "1,048,576 pages"]
