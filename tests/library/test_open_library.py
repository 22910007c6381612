"""Several libraries asked as one: the answer of one library that holds it all, each document once, each under its own name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tscli import internals
from tscli.errors import LibraryError, UsageError
from tscli.ingest import ingest, sketching
from tscli.selection import candidates, guard

WriteDocuments = Callable[..., Path]
QUESTION = "Where does the stone stand?"


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "SEGMENT_TOKENS", 512)


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


def make(
    load: tscli.LoadOptions, library: str, *paths: Path, documents: str = "independent", **more: str
) -> tscli.IngestReport:
    options = tscli.IngestOptions(documents=documents, **more)  # type: ignore[arg-type]
    return tscli.prepare(list(paths), library, load, options=options).run()


def ask(load: tscli.LoadOptions, *libraries: str, **options: object) -> tscli.Answer:
    with tscli.open_library(libraries, load, **options) as session:  # type: ignore[arg-type]
        stream = session.ask(QUESTION, max_new_tokens=24)
        list(stream)
        return stream.answer


@pytest.fixture
def two(load: tscli.LoadOptions, write_documents: WriteDocuments) -> tuple[Path, Path]:
    """Libraries one and two, of three documents each."""
    first, second = write_documents("first"), write_documents("second", files=("d.txt", "e.txt", "f.txt"))
    make(load, "one", first)
    make(load, "two", second)
    return first, second


@pytest.fixture
def both(load: tscli.LoadOptions, two: tuple[Path, Path]) -> tuple[Path, Path]:
    """Those two, and a library of both folders."""
    make(load, "both", *two)
    return two


@pytest.mark.parametrize("mode", ["token", "chunk", "two_pass"])
def test_joined_libraries_answer_as_one_library_of_both(load: tscli.LoadOptions, both: object, mode: str) -> None:
    exact = tscli.SelectionOptions(scan="exact")
    whole = ask(load, "both", selection=exact, question_mode=mode)
    joined = ask(load, "one", "two", selection=exact, question_mode=mode)
    assert len(set(whole.token_ids)) > 4  # a model that repeats itself would show nothing
    assert joined.token_ids == whole.token_ids
    assert joined.statistics.cached_tokens == whole.statistics.cached_tokens
    assert joined.statistics.recomputed_tokens == 0
    assert [(s.file, s.page, s.share) for s in joined.sources] == [(s.file, s.page, s.share) for s in whole.sources]


def test_full_attention_sees_all_of_them(load: tscli.LoadOptions, both: object) -> None:
    assert ask(load, "one", "two", dense=True).token_ids == ask(load, "both", dense=True).token_ids


def test_sources_and_citations_say_which_library(load: tscli.LoadOptions, two: object) -> None:
    with tscli.open_library(["one", "two"], load) as session:
        stream = session.ask(QUESTION, max_new_tokens=24)
        list(stream)
        found = tscli.find_evidence(session, stream.answer)
        mapped = internals.map_answer(session, stream.answer)
        page = tscli.render_report(session, stream.answer, found)
    assert session.library == "one + two"
    of = {"first": "one", "second": "two"}
    assert {source.library for source in stream.answer.sources} == {"one", "two"}
    for part in (*stream.answer.sources, *found.citations, *mapped):
        assert part.library == of[Path(part.file).parent.name]
    assert found.citations[0].place.startswith(f"{found.citations[0].library}: ")
    assert "one: first/a.txt" in page
    assert {source.library for source in ask(load, "one").sources} == {""}


def test_a_document_of_both_stands_once(load: tscli.LoadOptions, both: tuple[Path, Path]) -> None:
    first, second = both
    (second / "d2.txt").write_text((first / "b.txt").read_text())  # in the middle of the second's documents
    make(load, "mixed", second)
    exact = tscli.SelectionOptions(scan="exact")
    assert ask(load, "one", "mixed", selection=exact).token_ids == ask(load, "both", selection=exact).token_ids
    with tscli.open_library(["one", "mixed"], load) as session:
        places = [
            (library, document.path)
            for library, document in zip(session.context.libraries, session.context.documents, strict=True)
        ]
        assert [path for library, path in places if library == "mixed"] == ["second/d.txt", "second/e.txt", "second/f.txt"]
        for index, document in enumerate(session.context.documents):
            assert (session.context.document[document.token_start : document.token_end] == index).all()


def test_a_library_that_adds_nothing_changes_nothing(load: tscli.LoadOptions, both: object) -> None:
    alone, joined = ask(load, "both"), ask(load, "both", "one")
    assert joined.token_ids == alone.token_ids
    assert joined.statistics.total_tokens == alone.statistics.total_tokens
    assert ask(load, "one", "one").sources == ask(load, "one").sources


def test_each_librarys_history_has_its_own_pages(load: tscli.LoadOptions, two: object) -> None:
    with tscli.open_library(["one", "two"], load) as session:
        stream = session.ask(QUESTION, max_new_tokens=8)
        list(stream)
        session.remember(stream.answer)
    for name in ("one", "two"):
        found = tscli.coverage(name)
        assert found.questions == 1
        assert found.selected == sum(source.library == name for source in stream.answer.sources)


def test_a_chat_goes_over_all_of_them(load: tscli.LoadOptions, two: object) -> None:
    with tscli.open_library(["one", "two"], load) as session:
        stream = session.chat().ask(QUESTION, max_new_tokens=8)
        list(stream)
    assert {source.library for source in stream.answer.sources} == {"one", "two"}


@pytest.mark.parametrize("order", [("one", "joint"), ("joint", "one")])
def test_documents_that_were_read_together_cannot_be_joined(
    load: tscli.LoadOptions, write_documents: WriteDocuments, order: tuple[str, str]
) -> None:
    make(load, "one", write_documents("first"))
    make(load, "joint", write_documents("second", files=("d.txt",)), documents="joint")
    with pytest.raises(LibraryError, match=r"library joint cannot be joined.*--documents independent"):
        ask(load, *order)


def test_libraries_of_different_pages_cannot_be_joined(
    load: tscli.LoadOptions, small_model: Path, write_documents: WriteDocuments
) -> None:
    make(load, "one", write_documents("first"))
    make(load, "half", write_documents("second"), kv_dtype="int8")
    with pytest.raises(LibraryError, match=r"library half .* cannot be joined with one .*: they differ in kv dtype;"):
        ask(load, "one", "half")


def test_libraries_that_the_model_made_in_different_dtypes_can_be_joined(
    load: tscli.LoadOptions, small_model: Path, write_documents: WriteDocuments
) -> None:
    make(load, "one", write_documents("first"))
    half = tscli.LoadOptions(str(small_model), dtype="bfloat16", device="cpu")
    make(half, "two", write_documents("second", files=("d.txt", "e.txt")))
    assert {tscli.info(name).dtype for name in ("one", "two")} == {"float32", "bfloat16"}
    for how, names in ((load, ("one", "two")), (half, ("two", "one"))):
        with tscli.open_library(list(names), how) as session:
            assert {document.path for document in session.context.documents} >= {"second/d.txt", "second/e.txt"}
        assert ask(how, *names).token_ids


def test_libraries_of_different_templates_cannot_be_joined(load: tscli.LoadOptions, two: object) -> None:
    path = tscli.home() / "libraries" / "two" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["template"]["prefix"] += "Be brief."
    del manifest["checksum"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(LibraryError, match="differ in template"):
        ask(load, "one", "two")


def test_libraries_of_the_same_name_are_told_apart_by_their_folders(
    load: tscli.LoadOptions, write_documents: WriteDocuments, tmp_path: Path
) -> None:
    names = [f"{tmp_path}/{side}/shelf" for side in ("left", "right")]
    make(load, names[0], write_documents("first"))
    make(load, names[1], write_documents("second", files=("d.txt",)))
    assert {source.library for source in ask(load, *names).sources} <= set(names)


def test_no_library_is_an_error(load: tscli.LoadOptions) -> None:
    with pytest.raises(UsageError, match="no library is named"):
        ask(load)


@pytest.mark.slow
def test_a_library_without_a_sketch_joins_one_that_has_one(
    load: tscli.LoadOptions, write_documents: WriteDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (candidates, sketching):
        monkeypatch.setattr(module, "SKETCH_FROM", 2048)
    monkeypatch.setattr(sketching, "READING_FROM", 2048)
    monkeypatch.setattr(sketching, "ranks", lambda head_dim: (head_dim,))
    monkeypatch.setattr(guard, "EVERY", 2)
    make(load, "short", write_documents("first", words=100))
    make(load, "long", write_documents("second", files=("d.txt", "e.txt", "f.txt")))
    make(load, "longer", write_documents("third", words=500, files=("g.txt", "h.txt", "i.txt")))
    few = tscli.SelectionOptions(k=16)
    joined = ask(load, "short", "long", "longer", selection=few).statistics
    assert (joined.scan, ask(load, "short", selection=few).statistics.scan) == ("sketch", "exact")
    assert joined.fidelity is not None
    assert joined.fidelity.compared > 10
    assert joined.fidelity.vote_mass > 0.98
