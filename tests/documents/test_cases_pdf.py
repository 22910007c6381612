"""PDFs that were read wrongly once, from the folder that TSCLI_TEST_CASES names; each is an example of its kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tscli.documents import Document, Loaded, load

FOLDER = os.environ.get("TSCLI_TEST_CASES", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="TSCLI_TEST_CASES names no folder of cases")


def loaded(name: str) -> Loaded:
    return load([Path(FOLDER) / name], ocr="off", workers=1)


def document(name: str) -> Document:
    found = loaded(name)
    assert found.failures == ()
    return found.documents[0]


def lines(name: str) -> list[str]:
    return document(name).pages[0].split("\n")


def test_right_to_left() -> None:
    expected = (Path(FOLDER) / "pdf-rtl" / "EXPECTED.txt").read_text(encoding="utf-8").splitlines()
    assert lines("pdf-rtl/rtl.pdf") == expected


def test_east_asian_encodings() -> None:
    expected = (Path(FOLDER) / "pdf-cjk" / "EXPECTED.txt").read_text(encoding="utf-8").splitlines()
    by_name = dict(line.split(": ") for line in expected)
    there = sorted((Path(FOLDER) / "pdf-cjk").glob("*.pdf"))
    assert there
    assert {file.stem: "".join(lines(f"pdf-cjk/{file.name}")) for file in there} == {f.stem: by_name[f.stem] for f in there}


def test_ligatures() -> None:
    assert lines("pdf-ligatures/differences.pdf") == ["The office for fireworks is in Stafford."]
    assert "letters have no name" in document("pdf-ligatures/nulmap.pdf").warnings[0]


def test_hyphens() -> None:
    text = document("pdf-hyphens/hyphen.pdf").pages[0]
    for word in ("lighthouse", "price-determining", "international", "cooperation"):
        assert word in text
    assert "\xad" not in text


@pytest.mark.parametrize("name", ["rows.pdf", "columns.pdf"])
def test_columns(name: str) -> None:
    assert lines(f"pdf-columns/{name}")[2:4] == ["from pier four.", "The museum of ropes opens"]


@pytest.mark.parametrize("name", ["rotate90.pdf", "rotate270.pdf", "sideways.pdf"])
def test_rotation(name: str) -> None:
    assert lines(f"pdf-rotated/{name}")[0] == "The harbour master of Lund is Odile Farrant since 1987."


@pytest.mark.parametrize("name", ["filled.pdf", "only-fields.pdf"])
def test_fields(name: str) -> None:
    found = document(f"pdf-forms/{name}")
    assert "Odile Farrant" in found.pages[0]
    assert "Kr 48,210" in found.pages[0]
    assert found.pages_without_text == ()


def test_portfolio() -> None:
    pages = {found.path: found.pages[0] for found in loaded("pdf-portfolio/portfolio.pdf").documents}
    assert pages["portfolio.pdf/invoice.pdf"] == "The invoice of Holm is 7,310 crowns."


@pytest.mark.parametrize("name", ["glyph-ids.pdf", "big-glyph-ids.pdf"])
def test_glyph_numbers(name: str) -> None:
    found = document(f"pdf-no-tounicode/{name}")
    assert found.pages == ("",)
    assert found.pages_without_text == (1,)
    assert "OCR" in found.warnings[0]


def test_labels() -> None:
    assert document("pdf-labels/labels.pdf").labels == ("i", "ii", "1", "2")


def test_fake_bold() -> None:
    assert lines("pdf-fake-bold/line-twice.pdf") == ["Total due: 4310 crowns"]


def test_damaged_files() -> None:
    assert "cobalt" in document("pdf-damaged/updated.pdf").pages[0]
    for name in ("count-lies.pdf", "count-short.pdf", "junk-before.pdf", "junk-before-noext", "startxref0.pdf", "plain.pdf"):
        assert document(f"pdf-damaged/{name}").pages == ("Old page 1", "Old page 2", "Old page 3")
    reasons = {loaded(f"pdf-damaged/{name}.pdf").failures[0].reason for name in ("cut", "empty", "html-as")}
    assert len(reasons) == 3
