"""Coverage: which pages questions have selected, kept by content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tscli
from tscli.errors import LibraryError
from tscli.store import HISTORY


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


@pytest.fixture
def docs(load: tscli.LoadOptions, tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        pages = ["\n".join(f"{name} {page} {line} stone" for line in range(40)) for page in range(6)]
        (folder / name).write_text("\f".join(pages))
    tscli.prepare([folder], load=load).run()
    return folder


def ask(load: tscli.LoadOptions, **options: object) -> tscli.Answer:
    with tscli.open_library(load=load, **options) as session:  # type: ignore[arg-type]
        stream = session.ask("Which stone?", max_new_tokens=2)
        list(stream)
        session.remember(stream.answer)
    return stream.answer


def test_nothing_is_covered_before_a_question(docs: Path) -> None:
    found = tscli.coverage()
    assert (found.questions, found.selected, found.unreadable) == (0, 0, 0)
    assert found.pages == sum(document.pages for document in found.documents)
    assert all(document.never == ((1, document.pages),) for document in found.documents)


def test_the_pages_among_the_sources_are_covered(load: tscli.LoadOptions, docs: Path) -> None:
    sources = {(source.file, source.page) for source in ask(load).sources}
    found = tscli.coverage()
    assert (found.questions, found.selected) == (1, len(sources))
    for document in found.documents:
        never = {page for first, last in document.never for page in range(first, last + 1)}
        assert never == {page for page in range(1, document.pages + 1) if (document.file, page) not in sources}


def test_asking_alone_keeps_nothing(load: tscli.LoadOptions, docs: Path) -> None:
    with tscli.open_library(load=load) as session:
        list(session.ask("Which stone?", max_new_tokens=2))
        assert not (tscli.home() / "libraries" / "default" / HISTORY).exists()


def test_a_dense_answer_selects_nothing_and_is_not_kept(load: tscli.LoadOptions, docs: Path) -> None:
    ask(load, dense=True)
    assert tscli.coverage().questions == 0


def test_a_renamed_document_keeps_its_pages_and_a_changed_one_begins_anew(load: tscli.LoadOptions, docs: Path) -> None:
    with tscli.open_library(load=load) as session:
        stream = session.ask("Which stone?", max_new_tokens=2)
        list(stream)
        files = [document.file for document in tscli.coverage().documents]
        session.remember(replace(stream.answer, sources=[tscli.Source(file, 1, 0.5) for file in files]))
    assert [document.selected for document in tscli.coverage().documents] == [1, 1]
    (docs / "a.txt").rename(docs / "c.txt")
    (docs / "b.txt").write_text((docs / "b.txt").read_text() + " more")
    tscli.prepare([docs], load=load).run()
    selected = {Path(document.file).name: document.selected for document in tscli.coverage().documents}
    assert selected == {"c.txt": 1, "b.txt": 0}


def test_a_library_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LibraryError):
        tscli.coverage("absent")
