"""Every file ends as a document or as a failure with its reason; what hangs or explodes takes nothing else with it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from tscli.documents import Document, Failure, FoundFile, Loaded, load
from tscli.documents.document import Opened
from tscli.documents.reading import Reading, finish
from tscli.errors import ResourceError

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
    assert "none of the given passwords" in load([tmp_path / "a.pdf"], passwords=("wrong",)).failures[0].reason
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


def with_content(data: bytes, index: int, content: bytes) -> bytes:
    """The PDF with the drawing instructions of one page replaced, packed."""
    writer = pypdf.PdfWriter(io.BytesIO(data))
    stream = pypdf.generic.StreamObject()
    stream._data = zlib.compress(content)
    stream[pypdf.generic.NameObject("/Filter")] = pypdf.generic.NameObject("/FlateDecode")
    writer.pages[index][pypdf.generic.NameObject("/Contents")] = writer._add_object(stream)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_a_page_that_explodes_in_memory_loses_that_page_only(tmp_path: Path) -> None:
    """Page 2 holds millions of instructions, which take far more memory once they are parsed."""
    data = with_content(pdf("First.", "Second.", "Third."), 1, b"BT (a) Tj ET " * 3_000_000)
    (tmp_path / "a.pdf").write_bytes(data)
    document = one(load([tmp_path], page_seconds=60, memory_bytes=450 << 20))
    assert [page.strip() for page in document.pages] == ["First.", "", "Third."]
    assert document.pages_without_text == (2,)
    assert len(document.warnings) == 1
    assert document.warnings[0].startswith("page 2 lost: ")
    assert "memory" in document.warnings[0]


def test_a_page_that_takes_too_long_loses_that_page_only(tmp_path: Path) -> None:
    """Page 2 holds more instructions than can be read in the time allowed."""
    (tmp_path / "a.pdf").write_bytes(with_content(pdf("First.", "Second.", "Third."), 1, b"BT (a) Tj ET " * 5_000_000))
    (tmp_path / "b.txt").write_text("Behind it.")
    loaded = load([tmp_path], page_seconds=2.0, workers=1)
    document = loaded.documents[0]
    assert [page.strip() for page in document.pages] == ["First.", "", "Third."]
    assert document.warnings == ("page 2 lost: took longer than 2 s",)
    assert loaded.documents[1].pages == ("Behind it.",)


def test_a_pdf_of_which_no_page_is_left_is_a_failure(tmp_path: Path) -> None:
    heavy = with_content(
        with_content(pdf("First.", "Second."), 0, b"BT (a) Tj ET " * 5_000_000), 1, b"BT (a) Tj ET " * 5_000_000
    )
    (tmp_path / "a.pdf").write_bytes(heavy)
    (tmp_path / "b.txt").write_text("Behind it.")
    loaded = load([tmp_path], page_seconds=1.0, workers=1)
    assert [document.pages for document in loaded.documents] == [("Behind it.",)]
    assert [(failure.path[-5:], failure.reason) for failure in loaded.failures] == [
        ("a.pdf", "yielded no page with text: took longer than 1 s")
    ]


def test_pages_that_are_lost_beside_blank_ones_are_a_failure_blank_ones_alone_are_not() -> None:
    file = FoundFile("a.pdf", Path("/a.pdf"), False)
    lost = finish(file, Reading(0.0, Opened("0", 2, True), {1: ""}, {2: "Failed to load page."}), ("done",))
    assert lost == Failure("a.pdf", "yielded no page with text: Failed to load page.")
    assert isinstance(finish(file, Reading(0.0, Opened("0", 2, True), {1: "", 2: ""}), ("done",)), Document)


def test_a_page_that_both_parsers_give_up_on_is_lost_with_their_reason() -> None:
    reading = Reading(0.0, Opened("0", 3, True), {1: "First.", 3: "Third."}, {2: "Failed to load page."})
    document = finish(FoundFile("a.pdf", Path("/a.pdf"), False), reading, ("done",))
    assert isinstance(document, Document)
    assert document.warnings == ("page 2 lost: Failed to load page.",)


def test_a_worker_that_dies_is_replaced_and_the_file_read_all_the_same(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)

    def kill_once(path: str, done: int, _: int) -> None:
        if done == 1:
            children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
            for child in {int(pid) for file in children for pid in file.read_text().split()}:
                if b"tscli.documents.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)

    loaded = load([tmp_path], workers=1, on_file=kill_once)
    assert [document.pages for document in loaded.documents] == [("a",), ("b",)]


def test_an_interruption_does_not_wait_for_a_page_that_hangs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.pdf").write_bytes(with_content(pdf("First."), 0, b"BT (a) Tj ET " * 5_000_000))

    def interrupt(path: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        load([tmp_path], page_seconds=300, on_file=interrupt)
    assert time.monotonic() - started < 60


def test_a_worker_that_does_not_start_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ResourceError, match="does not start"):
        load([tmp_path])


def test_modules_in_the_working_folder_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chardet.py").write_text("open('was_run', 'w')")
    monkeypatch.chdir(tmp_path)
    assert one(load([tmp_path])).pages == ("open('was_run', 'w')",)
    assert not (tmp_path / "was_run").exists()


def test_neither_the_package_nor_the_worker_imports_torch_or_a_parser_too_early() -> None:
    for module, forbidden in (
        ("tscli.documents", "{'torch', 'numpy', 'pypdf', 'selectolax'}"),
        ("tscli.documents.worker", "{'torch'}"),
    ):
        code = f"import {module}, sys; sys.exit(str({forbidden} & set(sys.modules)) if {forbidden} & set(sys.modules) else 0)"
        assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


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
    assert [document.path for document in loaded.documents] == sorted(document.path for document in loaded.documents)
    assert len(loaded.failures) <= 1
    assert all(len(document.pages) > 0 for document in loaded.documents)
