"""What PDFs bring beside text goes all the way: labels of pages, files within files, text that another reading gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tscli
from tests.documents.pdfs import lines, painted, with_attachments
from tscli.documents import load as load_documents
from tscli.evidence import citations_json
from tscli.evidence.citations import Citation
from tscli.evidence.gather import Evidence
from tscli.library import arrange
from tscli.store import read_manifest

LABELS = b"/PageLabels << /Nums [0 << /S /r >> 2 << /S /D >>] >>"


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    sheets = [lines(*[f"Sheet {number} says that stone {row} stands at the quay." for row in range(6)]) for number in range(4)]
    (made / "a.pdf").write_bytes(
        with_attachments(painted(*sheets, catalog=LABELS), {"note.txt": b"The key is under the stone."})
    )
    return made


def test_pages_have_the_names_that_viewers_give_them(load: tscli.LoadOptions, folder: Path) -> None:
    made = tscli.prepare([folder], load=load).run()
    record = json.loads((made.folder / "manifest.json").read_text())["documents"][0]
    assert record["labels"] == ["i", "ii", "1", "2"]
    with tscli.open_library(load=load) as session:
        stream = session.ask("Where does the stone stand?", max_new_tokens=4)
        "".join(stream)
        found = {
            (source.page, source.label, source.page_name) for source in stream.answer.sources if source.file.endswith("a.pdf")
        }
    assert found <= {(1, "i", "i (page 1)"), (2, "ii", "ii (page 2)"), (3, "1", "1 (page 3)"), (4, "2", "2 (page 4)")}
    assert found


def test_words_that_lines_break_are_found_in_one_and_quoted_as_they_stand(load: tscli.LoadOptions, tmp_path: Path) -> None:
    sheet = lines("The keeper of the light-", "house at Holm is Odile Farrant.", "She has been there for nine years.")
    (tmp_path / "a.pdf").write_bytes(painted(sheet))
    made = tscli.prepare([tmp_path / "a.pdf"], load=load).run()
    manifest = read_manifest(made.folder)
    assert manifest is not None
    ((page, place, taken),) = manifest.documents[0]["breaks"]
    assert (page, taken) == (1, "-\n")
    again = tscli.prepare([tmp_path / "a.pdf"], load=load)
    assert again.plan.prefill_tokens == 0
    again.run()
    with tscli.open_library(load=load) as session:
        assert session.context.documents[0].breaks == ((1, place, "-\n"),)
        assert "lighthouse" in session.tokenizer.decode(session.context.token_ids.tolist())
        cited = [
            Citation("a.pdf", 1, 0, 4, "light- house", 0.6, True, text="lighthouse"),
            Citation("a.pdf", 1, 5, 9, "at", 0.4, True),
        ]
        found = citations_json(session, Evidence(tuple(cited), ()))
        assert [(each["quote"], each.get("as_read")) for each in found] == [("light- house", "lighthouse"), ("at", None)]


def test_a_library_without_labels_opens_as_before(load: tscli.LoadOptions, folder: Path) -> None:
    (folder / "a.pdf").unlink()
    (folder / "b.txt").write_text("The stone stands at the quay. " * 40)
    made = tscli.prepare([folder], load=load).run()
    manifest = read_manifest(made.folder)
    assert manifest is not None
    assert "labels" not in manifest.documents[0]
    with tscli.open_library(load=load) as session:
        assert session.context.documents[0].labels == ()


def test_files_within_a_pdf_are_read_once_and_kept(load: tscli.LoadOptions, folder: Path) -> None:
    first = tscli.prepare([folder / "a.pdf"], load=load).run()
    assert [document.path for document in first.documents] == ["a.pdf", "a.pdf/note.txt"]
    second = tscli.prepare([folder / "a.pdf"], load=load)
    assert second.plan.prefill_tokens == 0


def test_a_text_that_is_read_otherwise_now_is_tokenised_anew(
    load: tscli.LoadOptions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by another version, or since OCR was installed: the file is the same, its text is not."""
    from dataclasses import replace

    from tscli.ingest import ingest

    tscli.prepare([folder], load=load).run()

    def otherwise(*arguments: object, **options: object) -> object:
        loaded = load_documents(*arguments, **options)  # type: ignore[arg-type]
        documents = [replace(d, pages=("By OCR: another text.", *d.pages[1:]), ocr_pages=(1,)) for d in loaded.documents]
        return replace(loaded, documents=tuple(documents))

    monkeypatch.setattr(ingest, "load_documents", otherwise)
    plan = tscli.prepare([folder], load=load).plan
    assert plan.prefill_tokens > 0
    assert plan.documents[0].ocr_pages == 1
    assert arrange.Slot(None, {"pages_without_text": 0}).ocr_pages == ()
