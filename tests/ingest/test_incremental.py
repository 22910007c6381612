"""What an ingest runs and what it keeps: new, changed, renamed, moved and removed files; one chain of segments."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

import tscli
from tscli.documents import Document
from tscli.errors import LibraryError, OverBudget, UsageError
from tscli.library import layout as engine_library
from tscli.library.arrange import Slot
from tscli.tokens import build_context, load_template, load_tokenizer

WriteDocuments = Callable[..., Path]


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 512 tokens, so that small documents make several."""
    monkeypatch.setattr("tscli.ingest.ingest.SEGMENT_TOKENS", 512)
    assert engine_library.SEGMENT_TOKENS == 16384


def ask(load: tscli.LoadOptions, library: str = "default", **options: object) -> tscli.Answer:
    with tscli.open_library(library, load=load, **options) as session:  # type: ignore[arg-type]
        stream = session.ask("Where does the stone stand?", max_new_tokens=8)
        text = "".join(stream)
    assert stream.answer.text == text.rstrip()
    return stream.answer


def test_a_second_ingest_runs_nothing(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents()
    first = tscli.prepare([docs], load=load).run()
    assert first.prefilled_tokens == first.total_tokens > 1024
    second = tscli.prepare([docs], load=load)
    assert second.plan.prefill_tokens == 0
    assert second.plan.estimated_seconds is None
    assert {document.status for document in second.plan.documents} == {"cached"}
    assert second.run().prefilled_tokens == 0


def test_incremental_ingest_equals_a_full_one_bit_for_bit(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents(files=("a.txt", "b.txt"))
    tscli.prepare([docs], "grown", load=load).run()
    write_documents(files=("c.txt",))
    grown = tscli.prepare([docs], "grown", load=load)
    assert 0 < grown.plan.cached_tokens < grown.plan.total_tokens
    grown_report = grown.run()
    assert [document.path for document in grown_report.documents] == ["docs/a.txt", "docs/b.txt", "docs/c.txt"]
    home = tscli.home()
    (home / "libraries" / "grown").rename(home / "aside")  # so that nothing can be shared
    full = tscli.prepare([docs], "full", load=load).run()
    assert full.prefilled_tokens == full.total_tokens
    assert segments(home / "aside") == segments(full.folder)


def segments(folder: Path) -> dict[str, bytes]:
    """The segments that the manifest refers to."""
    from tscli.store import read_manifest

    manifest = read_manifest(folder)
    assert manifest is not None
    return {record.id: (folder / "segments" / f"{record.id}.pt").read_bytes() for record in manifest.segments}


def test_a_changed_file_keeps_what_stands_before_it(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents()
    tscli.prepare([docs], load=load).run()
    (docs / "c.txt").write_text("Something else altogether. " * 100)
    plan = tscli.prepare([docs], load=load).plan
    assert plan.documents[0].status == "cached"
    assert plan.documents[2].status == "new"
    assert 0 < plan.cached_tokens < plan.total_tokens


def test_a_renamed_file_costs_nothing(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents()
    tscli.prepare([docs], load=load).run()
    (docs / "a.txt").rename(docs / "z.txt")
    again = tscli.prepare([docs], load=load)
    assert again.plan.prefill_tokens == 0
    assert [document.path for document in again.plan.documents] == ["docs/z.txt", "docs/b.txt", "docs/c.txt"]


def test_a_folder_that_was_moved_costs_nothing_and_stays_one(
    load: tscli.LoadOptions, write_documents: WriteDocuments, tmp_path: Path
) -> None:
    docs = write_documents()
    tscli.prepare([docs], load=load).run()
    (tmp_path / "papers").mkdir()
    moved = docs.rename(tmp_path / "papers" / "old")
    again = tscli.prepare([moved], load=load)
    assert again.plan.prefill_tokens == 0
    assert [document.path for document in again.plan.documents] == ["old/a.txt", "old/b.txt", "old/c.txt"]
    again.run()
    (moved / "b.txt").unlink()  # its new place is known
    assert [d.path for d in tscli.prepare([moved], load=load).plan.documents] == ["old/a.txt", "old/c.txt"]


def test_a_copy_beside_what_it_was_copied_from_is_told_of(
    load: tscli.LoadOptions, write_documents: WriteDocuments, tmp_path: Path
) -> None:
    docs = write_documents()
    tscli.prepare([docs], load=load).run()
    shutil.copytree(docs, tmp_path / "copy")
    plan = tscli.prepare([tmp_path / "copy"], load=load).plan
    assert len(plan.documents) == 6
    [note] = [note for note in plan.notes if "held twice" in note]
    assert note.startswith("3 new documents have the same content as another one")
    assert note.endswith("first: copy/a.txt, as docs/a.txt")
    assert not any("held twice" in note for note in tscli.prepare([docs], load=load).plan.notes)


def test_a_folder_that_was_moved_and_edited_is_held_as_it_is_now(
    load: tscli.LoadOptions, write_documents: WriteDocuments, tmp_path: Path
) -> None:
    docs, options = write_documents(), tscli.IngestOptions(documents="independent")
    tscli.prepare([docs], load=load, options=options).run()
    moved = docs.rename(tmp_path / "moved")
    (moved / "b.txt").write_text("Something else altogether. " * 100)
    (moved / "c.txt").unlink()
    plan = tscli.prepare([moved], load=load, options=options).plan
    assert [(d.path, d.status) for d in plan.documents][:2] == [("moved/a.txt", "cached"), ("moved/b.txt", "new")]
    assert [d.path for d in plan.documents][2:] == ["docs/c.txt"]  # it may lie on a disk that is not there now
    assert "1 document is kept though its file is no longer there; first: docs/c.txt" in plan.notes


def test_a_link_where_a_folder_was_is_no_copy(load: tscli.LoadOptions, write_documents: WriteDocuments, tmp_path: Path) -> None:
    docs = write_documents()
    tscli.prepare([docs], load=load).run()
    moved = docs.rename(tmp_path / "moved")
    docs.symlink_to(moved)
    plan = tscli.prepare([moved], load=load).plan
    assert (len(plan.documents), plan.prefill_tokens) == (3, 0)
    assert not any("held twice" in note for note in plan.notes)


def two_of_one_name(load: tscli.LoadOptions, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders named alike in library default, each with a file of the same name."""
    folders = tmp_path / "alpha" / "docs", tmp_path / "beta" / "docs"
    for folder, port in zip(folders, ("4411", "9022"), strict=True):
        folder.mkdir(parents=True)
        (folder / "README.md").write_text(f"The {folder.parent.name} service listens on port {port}. " * 20)
        tscli.prepare([folder], load=load).run()
    return folders


@pytest.mark.parametrize("documents", ["independent", "joint"])
def test_files_that_are_shown_alike_stay_apart_and_lose_no_text(
    load: tscli.LoadOptions, tmp_path: Path, documents: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tscli.IngestOptions(documents=documents)  # type: ignore[arg-type]
    monkeypatch.setattr(tscli, "prepare", partial(tscli.prepare, options=options))
    alpha, beta = two_of_one_name(load, tmp_path)
    whole = tscli.info().documents[0]["token_end"] - tscli.info().documents[0]["token_start"]
    for edit in ("", "One more line.\n", "And another.\n"):
        (beta / "README.md").write_text((beta / "README.md").read_text() + edit)
        report = tscli.prepare([beta], load=load).run()
        assert [document.path for document in report.documents] == ["docs/README.md", "beta/docs/README.md"]
        first = tscli.info().documents[0]
        assert first["token_end"] - first["token_start"] == whole
    report = tscli.prepare([alpha, beta], load=load).run()
    assert len({document.path for document in report.documents}) == 2


def test_a_document_without_its_pages_is_read_again(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents()
    tscli.prepare([docs], load=load).run()
    record = tscli.info().documents[0]
    pages = ((docs / "a.txt").read_text(),)
    there = Document("docs/a.txt", record["source"], record["sha256"], pages, (), False)
    record["text_sha256"] = Slot(there, None).text_sha256
    assert not Slot(there, record).is_reread
    assert Slot(there, {**record, "num_pages": 0}).is_reread  # as a version before had left it


def test_a_document_of_which_neither_text_nor_tokens_are_there_is_no_empty_one(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    tscli.prepare([write_documents()], load=load).run()
    tokenizer = load_tokenizer(str(load.model))
    kept = [Slot(None, record).source for record in tscli.info().documents]
    with pytest.raises(ValueError, match=r"docs/a\.txt: neither its text nor its tokens"):
        build_context(tokenizer, load_template(tokenizer), kept)


def test_documents_of_another_folder_are_added_behind_and_kept(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    tscli.prepare([write_documents("one")], load=load).run()
    other = write_documents("two", files=("d.txt",))
    plan = tscli.prepare([other], load=load).plan
    assert [document.path for document in plan.documents] == ["one/a.txt", "one/b.txt", "one/c.txt", "two/d.txt"]
    assert plan.cached_tokens > 0


def test_files_of_one_name_from_two_folders_are_told_apart(load: tscli.LoadOptions, tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text(f"The stone stands in {folder}. " * 100)
    tscli.prepare([tmp_path / "a" / "notes.txt"], load=load).run()
    report = tscli.prepare([tmp_path / "b" / "notes.txt"], load=load).run()
    assert [document.path for document in report.documents] == ["notes.txt", "b/notes.txt"]
    again = tscli.prepare([tmp_path / "a" / "notes.txt", tmp_path / "b" / "notes.txt"], load=load)
    assert again.plan.prefill_tokens == 0


def test_a_removed_file_is_dropped(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents()
    tscli.prepare([docs], load=load).run()
    (docs / "b.txt").unlink()
    report = tscli.prepare([docs], load=load).run()
    assert [document.path for document in report.documents] == ["docs/a.txt", "docs/c.txt"]


def test_two_libraries_of_the_same_documents_share_their_segments(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    docs = write_documents()
    tscli.prepare([docs], "one", load=load).run()
    assert tscli.prepare([docs], "two", load=load).run().prefilled_tokens == 0
    tscli.remove("one")
    assert tscli.verify("two") == []


def test_a_context_over_the_budget_is_an_error_that_says_by_how_much(
    load: tscli.LoadOptions, write_documents: WriteDocuments
) -> None:
    docs = write_documents()
    total = tscli.prepare([docs], load=load).plan.total_tokens
    with pytest.raises(OverBudget, match=f"{total - 1000:,}") as over:
        tscli.prepare([docs], load=load, options=tscli.IngestOptions(max_tokens=1000))
    sizes = [tokens for _, _, tokens in over.value.documents]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(tokens for path, _, tokens in over.value.documents if path in over.value.leave_out) >= total - 1000


def test_no_readable_document_is_an_error(load: tscli.LoadOptions, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no documents found"):
        tscli.prepare([tmp_path / "empty"], load=load)


def test_files_that_hold_no_text_are_passed_over_and_noted(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents(words=20)
    (docs / "x.bin").write_bytes(b"\x7fELF\0\1\2\3")
    (docs / "y.txt").touch()
    plan = tscli.prepare([docs], load=load).plan
    assert "1 passed over (is a binary file of an unsupported kind): docs/x.bin" in plan.notes
    assert "1 passed over (is empty): docs/y.txt" in plan.notes
    assert [file.path for file in plan.passed_over] == ["docs/x.bin", "docs/y.txt"]
    assert not plan.failures


def test_a_file_behind_a_link_that_leads_out_is_held_once(
    load: tscli.LoadOptions, tmp_path: Path, write_documents: WriteDocuments
) -> None:
    docs, far = write_documents(words=20), write_documents("far", words=20, files=("z.txt",))
    (docs / "way").symlink_to(far)
    first = tscli.prepare([docs], load=load)
    first.run()
    assert any("leads out of the named folders" in note for note in first.plan.notes)
    again = tscli.prepare([docs], load=load).plan
    assert [document.path for document in again.documents] == [document.path for document in first.plan.documents]
    assert again.prefill_tokens == 0


def test_tensors_on_disk_are_pages_of_unrotated_keys(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    report = tscli.prepare([write_documents()], load=load).run()
    path = sorted((report.folder / "segments").glob("*.pt"))[0]
    saved = torch.load(path, mmap=True, weights_only=True)
    assert saved["key"].shape[0] == 3
    assert saved["key"].shape[2:] == (2, 64, 16)


def test_a_file_name_that_is_no_utf8_goes_all_the_way(load: tscli.LoadOptions, write_documents: WriteDocuments) -> None:
    docs = write_documents(words=30)
    (docs / "a.txt").rename(docs / os.fsdecode(b"caf\xe9.txt"))
    assert tscli.prepare([docs], load=load).run().failures == ()
    assert tscli.prepare([docs], load=load).plan.prefill_tokens == 0
    assert ask(load).statistics.generated_tokens > 0


@pytest.mark.parametrize("damage", ["manifest.json", "context-*.pt"])
def test_a_damaged_manifest_or_context_is_made_anew_without_running_anything(
    load: tscli.LoadOptions, write_documents: WriteDocuments, damage: str
) -> None:
    docs = write_documents()
    report = tscli.prepare([docs], load=load).run()
    path = next(report.folder.glob(damage))
    path.write_bytes(path.read_bytes()[:-20] + b"x" * 10)
    with pytest.raises(LibraryError, match="tscli repair"):
        tscli.open_library(load=load)
    again = tscli.prepare([docs], load=load)
    assert any(path.name in note and "rebuilt" in note for note in again.plan.notes)
    assert again.run().prefilled_tokens == 0
    assert ask(load).statistics.generated_tokens > 0


def test_a_folder_without_documents_is_named_beside_those_that_have_some(
    load: tscli.LoadOptions, write_documents: WriteDocuments, tmp_path: Path
) -> None:
    (tmp_path / "nothing here").mkdir()
    notes = tscli.prepare([write_documents(), tmp_path / "nothing here"], load=load).plan.notes
    assert [note for note in notes if "no documents found" in note] == [
        f"{tmp_path / 'nothing here'}: no documents found; ignored and hidden files need --no-ignore and --hidden"
    ]
