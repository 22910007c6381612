"""Every file ends as a document or as a failure with its reason; what hangs or explodes takes nothing else with it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from tscli.documents import Document, Loaded, load

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "pdf-samples"


def pdf(*pages: Callable[[Canvas], object] | str) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=True)
    for page in pages:
        if isinstance(page, str):
            canvas.drawString(72, 720, page)
        else:
            page(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def encrypted(data: bytes, user: str) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(data))
    writer.encrypt(user_password=user, owner_password="owner", algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def one(loaded: Loaded) -> Document:
    assert loaded.failures == ()
    assert len(loaded.documents) == 1
    return loaded.documents[0]


def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    data = pdf("First page here.", "Second page here.")
    (tmp_path / "a.pdf").write_bytes(data)
    document = one(load([tmp_path]))
    assert [page.strip() for page in document.pages] == ["First page here.", "Second page here."]
    assert document.sha256 == hashlib.sha256(data).hexdigest()
    assert document.paged


def test_pages_without_text_are_counted_and_point_to_ocr(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("Words.", lambda canvas: canvas.rect(100, 100, 200, 200), "More."))
    document = one(load([tmp_path]))
    assert document.pages_without_text == (2,)
    assert "OCRmyPDF" in document.warnings[0]


def test_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    def columns(canvas: Canvas) -> None:
        for x, words in ((72, "left"), (320, "right")):
            for line in range(4):
                canvas.drawString(x, 720 - 14 * line, f"{words}{line} of the column")

    (tmp_path / "a.pdf").write_bytes(pdf(columns))
    text = one(load([tmp_path])).pages[0]
    assert text.index("left3") < text.index("right0")


def test_an_empty_user_password_opens_by_itself(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(encrypted(pdf("Secret words."), ""))
    assert "Secret words." in one(load([tmp_path])).pages[0]


def test_a_password_is_asked_for_by_name_and_tried(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(encrypted(pdf("Secret words."), "sesame"))
    (tmp_path / "b.txt").write_text("plain")
    refused = load([tmp_path])
    assert [(failure.path.split("/")[-1], "--password" in failure.reason) for failure in refused.failures] == [("a.pdf", True)]
    assert len(refused.documents) == 1
    opened = load([tmp_path], passwords=("wrong", "sesame"))
    assert "Secret words." in opened.documents[0].pages[0]


def test_a_broken_cross_reference_table_is_read_all_the_same(tmp_path: Path) -> None:
    data = pdf("Still here.")
    at = data.rindex(b"startxref")
    (tmp_path / "a.pdf").write_bytes(data[:at] + b"startxref\n99999999\n%%EOF")
    assert "Still here." in one(load([tmp_path])).pages[0]


def test_junk_that_calls_itself_a_pdf_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 40)
    loaded = load([tmp_path])
    assert loaded.documents == ()
    assert "cannot be read" in loaded.failures[0].reason


def test_a_page_that_explodes_in_memory_loses_that_page_only(tmp_path: Path) -> None:
    """Page 2 holds a content stream that unpacks to gigabytes."""
    import zlib

    writer = pypdf.PdfWriter(io.BytesIO(pdf("First.", "Second.", "Third.")))
    bomb = pypdf.generic.StreamObject()
    bomb._data = zlib.compress(zlib.compress(b"0 0 m " * 30_000_000, 9), 9)
    filters = pypdf.generic.ArrayObject([pypdf.generic.NameObject("/FlateDecode")] * 2)
    bomb[pypdf.generic.NameObject("/Filter")] = filters
    writer.pages[1][pypdf.generic.NameObject("/Contents")] = writer._add_object(bomb)
    with (tmp_path / "a.pdf").open("wb") as file:
        writer.write(file)
    document = one(load([tmp_path], page_seconds=5, memory_bytes=700 << 20))
    assert [bool(page.strip()) for page in document.pages] == [True, False, True]
    assert 2 in document.pages_without_text


def test_a_page_that_takes_too_long_loses_that_page_only(tmp_path: Path) -> None:
    """Page 2 draws so many strings that no parser is done in the time allowed."""

    def endless(canvas: Canvas) -> None:
        for line in range(60_000):
            canvas.drawString(72 + line % 400, 20 + line % 700, f"word {line}")

    (tmp_path / "a.pdf").write_bytes(pdf("First.", endless, "Third."))
    document = one(load([tmp_path], page_seconds=1.0))
    assert "First." in document.pages[0]
    assert "Third." in document.pages[2]
    assert document.pages[1] == ""
    assert any("lost" in warning for warning in document.warnings)


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
    [("cp1252", "“Größe” des Straßencafés – voilà. " * 20), ("shift_jis", "これは日本語の文章です。" * 20)],
)
def test_older_encodings_are_guessed(tmp_path: Path, encoding: str, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert one(load([tmp_path])).pages[0] == text.strip("\n").rstrip() or one(load([tmp_path])).pages[0].strip() == text.strip()


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
    assert "binary" in load([tmp_path / "a.png"]).failures[0].reason


def test_an_empty_file_is_a_failure_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.txt").write_text("text")
    loaded = load([tmp_path])
    assert loaded.failures[0].reason == "is empty"
    assert len(loaded.documents) == 1


def test_each_file_is_told_when_it_is_done(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(name)
    told: list[tuple[str, int, int]] = []
    load([tmp_path], on_file=lambda path, done, total: told.append((path.split("/")[-1], done, total)))
    assert sorted(name for name, _, _ in told) == ["a.txt", "b.txt", "c.txt"]
    assert {total for _, _, total in told} == {3}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of odd PDFs is not here")
def test_every_file_of_the_collection_is_accounted_for() -> None:
    files = sorted(path for path in SAMPLES.rglob("*") if path.is_file())
    loaded = load([SAMPLES], passwords=("openpassword",))
    assert len(loaded.documents) + len(loaded.failures) == len(files)
    assert len(loaded.failures) <= 1
