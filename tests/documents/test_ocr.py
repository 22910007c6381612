"""Pages without text are read by OCR where a program for it is installed; others never are."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pypdfium2
import pytest
from reportlab.pdfgen.canvas import Canvas

from tests.documents.pdfs import lines, painted
from tscli.documents import load, ocr
from tscli.documents.ocr import Engine, OcrFailed, find_engine

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
WORDS = ("The keeper of the light on Gannet Stack", "is Marit Olsen, since the year 1987.")


def scan() -> bytes:
    """A picture of words, a page of words, a drawing, an empty page."""
    picture = io.BytesIO()
    page = pypdfium2.PdfDocument(painted(lines(*WORDS)))[0]
    page.render(scale=200 / 72, grayscale=True).to_pil().save(picture, "PNG")
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(612, 792), invariant=True)
    from reportlab.lib.utils import ImageReader

    picture.seek(0)
    canvas.drawImage(ImageReader(picture), 0, 0, 612, 792)
    canvas.showPage()
    canvas.drawString(72, 700, "A page of words.")
    canvas.showPage()
    canvas.circle(300, 400, 90)
    canvas.showPage()
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


@needs_tesseract
def test_only_pages_without_text_are_read_by_ocr_and_they_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(scan())
    document = load([tmp_path], ocr="eng", workers=1).documents[0]
    assert document.pages == ("\n".join(WORDS), "A page of words.", "", "")
    assert document.ocr_pages == (1,)
    assert document.pages_without_text == (3, 4)
    assert "page 1 read by OCR: tesseract, eng" in document.warnings
    assert "2 of 4 pages without text" in document.warnings[1]


def test_without_ocr_the_hint_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(scan())
    document = load([tmp_path], ocr="off", workers=1).documents[0]
    assert document.pages_without_text == (1, 3, 4)
    assert document.ocr_pages == ()
    assert "OCRmyPDF" in document.warnings[0]


def test_no_engine_is_found_where_none_is_installed_or_it_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_engine("off") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine("auto") is None


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_few_installed_languages_are_all_used_and_of_many_the_locales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    program(tmp_path, "tesseract", "printf 'List:\\neng\\nosd\\ndeu\\n'")
    assert str(find_engine("auto")) == "tesseract, deu+eng"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin:")
    program(tmp_path, "tesseract", "printf 'List:\\neng\\ndeu\\nfra\\nita\\nspa\\njpn\\n'")
    assert str(find_engine("auto")) == "tesseract, deu+eng"
    assert str(find_engine("fra")) == "tesseract, fra"


def test_ocrmypdf_is_asked_where_there_is_no_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "ocrmypdf", 'while [ "$1" != --sidecar ]; do shift; done; /bin/echo "words it saw" > "$2"')
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = find_engine("auto")
    assert engine is not None
    assert engine.name == "OCRmyPDF"
    assert ocr.read_picture(pypdfium2.PdfDocument(scan())[0], engine) == "words it saw\n"


def test_what_the_program_is_not_sure_of_is_no_text(tmp_path: Path) -> None:
    head = "level\\tpage_num\\tblock_num\\tpar_num\\tline_num\\tword_num\\tleft\\ttop\\twidth\\theight\\tconf\\ttext"
    row = "5\\t1\\t1\\t1\\t1\\t1\\t0\\t0\\t9\\t9\\t{}\\tword"
    page = pypdfium2.PdfDocument(scan())[0]
    program(tmp_path, "sure", f"cat > /dev/null; printf '{head}\\n{row.format(90)}\\n'")
    program(tmp_path, "unsure", f"cat > /dev/null; printf '{head}\\n{row.format(30)}\\n'")
    assert ocr.read_picture(page, Engine("tesseract", str(tmp_path / "sure"), "")) == "word"
    assert ocr.read_picture(page, Engine("tesseract", str(tmp_path / "unsure"), "")) == ""


def test_a_program_that_fails_or_takes_too_long_loses_its_page_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = pypdfium2.PdfDocument(scan())[0]
    program(tmp_path, "fails", "cat > /dev/null; echo no such language >&2; exit 1")
    program(tmp_path, "hangs", "exec sleep 60")
    with pytest.raises(OcrFailed, match="no such language"):
        ocr.read_picture(page, Engine("tesseract", str(tmp_path / "fails"), ""))
    program(tmp_path, "lacks", "cat > /dev/null; echo \"Failed loading language 'deu'\" >&2; echo No luck. >&2; exit 1")
    with pytest.raises(OcrFailed, match="no language deu; install it"):
        ocr.read_picture(page, Engine("tesseract", str(tmp_path / "lacks"), "deu"))
    monkeypatch.setattr(ocr, "OCR_SECONDS", 0.5)
    monkeypatch.setattr(ocr, "_limit_time", lambda: None)
    with pytest.raises(OcrFailed, match="longer than"):
        ocr.read_picture(page, Engine("tesseract", str(tmp_path / "hangs"), ""))


def test_pages_of_glyph_numbers_whose_font_is_missing_are_not_looked_at(tmp_path: Path) -> None:
    """What is painted then is other letters, in any viewer."""
    from tests.documents.pdfs import glyphs

    page = pypdfium2.PdfDocument(glyphs("abc", None, {"a": 36, "b": 37, "c": 38}))[0]
    assert not ocr.looks_right(page)
