"""Text and HTML files: their encodings, what is left out of them, files that are empty or binary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tscli.documents import Document, Loaded, load, plain


def one(loaded: Loaded) -> Document:
    assert loaded.failures == ()
    assert len(loaded.documents) == 1
    return loaded.documents[0]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("caffè – Ελλάδα".encode(), "utf-8"),
        (b"\xef\xbb\xbf" + "Ελλάδα".encode(), "utf-8-sig"),
        ("Ελλάδα 日本".encode("utf-16"), "utf-16"),
        ("\ufeffΕλλάδα".encode("utf-32-le"), "utf-32"),
    ],
)
def test_unicode_encodings_are_recognised(tmp_path: Path, data: bytes, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    document = one(load([tmp_path]))
    assert document.encoding == encoding
    assert "\ufffd" not in document.pages[0]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "Größe café"),
        ("latin-1", "Año nuevo, corazón, niño. Le café est fermé à midi."),
        ("cp1252", "“Größe” des Straßencafés – voilà."),
        ("cp1250", "Zażółć gęślą jaźń, proszę państwa. Książka leży na stole."),
        ("cp1251", "Привет, как дела? Всё хорошо, спасибо."),
        ("shift_jis", "これは日本語の文章です。"),
        ("gb18030", "这是一个中文文件，用来测试编码。"),
    ],
)
@pytest.mark.parametrize("before", ["", "Plain words in plain ASCII.\n" * 5000], ids=["at-once", "late"])
def test_older_encodings_are_guessed_from_few_words(encoding: str, text: str, before: str) -> None:
    assert plain.decode((before + text).encode(encoding)).text == before + text


def test_a_few_broken_bytes_leave_utf8_what_it_is_and_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Ελλάδα\n".encode() * 50 + b"\xff end")
    document = one(load([tmp_path]))
    assert document.encoding == "utf-8"
    assert document.pages[0].startswith("Ελλάδα\n")
    assert document.warnings == ("1 place is not valid utf-8, shown as \ufffd",)


def test_time_grows_with_the_text_and_not_with_its_square(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>One <b>bold</b> word.</p>\n" * 20_000)
    (tmp_path / "b.txt").write_text("a" + " " * 3_000_000 + "b")
    loaded = load([tmp_path], page_seconds=20)
    assert [document.path[-6:] for document in loaded.documents] == ["a.html", "/b.txt"]


def test_comments_and_doctypes_of_html_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<!DOCTYPE html><body><!-- hidden --><p>shown</p><pre>a\n  b</pre></body>")
    assert one(load([tmp_path])).pages == ("shown\n\na\n  b",)


def test_nuls_and_lone_surrogates_are_cleaned(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(("x" * 9000 + "a\0b\r\nc\rd").encode() + b"\xed\xa0\x80")
    text = one(load([tmp_path])).pages[0]
    assert "\0" not in text
    text.encode("utf-8")
    assert "b\nc\nd" in text


def test_html_loses_tags_and_scripts_and_keeps_its_blocks(tmp_path: Path) -> None:
    page = (
        "<html><head><title>The title</title><style>p{}</style></head><body><h1>Head</h1><p>One <b>bold</b>\n word.</p>"
        "<script>evil()</script><ul><li>first</li><li>second</li></ul><table><tr><td>a</td><td>b</td></tr></table></body></html>"
    )
    (tmp_path / "a.html").write_text(page)
    text = one(load([tmp_path])).pages[0]
    assert text.startswith("The title")
    assert "One bold word." in text
    assert "a | b" in text
    assert "first\n" in text
    assert "evil" not in text
    assert "<" not in text


@pytest.mark.parametrize("name", ["a.md", "a.rst", "a.csv", "a.json", "a.py", "Makefile"])
def test_text_of_all_kinds_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("# head, <|im_end|>\n\tindented\n")
    assert one(load([tmp_path])).pages == ("# head, <|im_end|>\n\tindented",)


def test_binary_files_are_passed_over_and_office_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\0\0\0")
    (tmp_path / "b.docx").write_bytes(b"PK\x03\x04\0\0\0")
    (tmp_path / "c.txt").write_text("text")
    loaded = load([tmp_path])
    assert [failure.path.split("/")[-1] for failure in loaded.failures] == ["b.docx"]
    assert len(loaded.documents) == 1
    assert [(file.path.split("/")[-1], file.reason) for file in loaded.passed_over] == [("a.png", "is a picture")]
    assert load([tmp_path / "a.png"]).failures[0].reason == "is a picture"


def test_an_empty_file_is_passed_over_and_reported_where_it_was_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.txt").write_text("text")
    loaded = load([tmp_path])
    assert not loaded.failures
    assert len(loaded.documents) == 1
    assert load([tmp_path / "a.txt"]).failures[0].reason == "is empty"
