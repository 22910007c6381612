"""Several processes at one library: who removes, commits or opens at the same time finds a whole state or is told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store.conftest import FINGERPRINT, SEGMENT, fill, pages, tokens
from tscli.errors import LibraryError
from tscli.store import StoredLibrary, Writer, library_folder, open_library, plan_chain, prune, reader, remove

Make = Callable[..., Path]


def meanwhile(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Do this once, between a reader's look at the manifest and at the files that it names."""
    original = reader._open

    def opening(*arguments: object, **options: object) -> StoredLibrary:
        monkeypatch.setattr(reader, "_open", original)
        work()
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_open", opening)


def test_a_reader_whose_files_are_committed_away_opens_the_new_state(
    make_library: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_library(count=150)

    def move_on() -> None:
        for seed in (1, 2):
            fill(folder, tokens(200, seed))
        prune(folder)

    meanwhile(monkeypatch, move_on)
    stored = open_library(folder)
    assert stored.context["token_ids"].tolist() == tokens(200, seed=2).tolist()


def test_a_library_that_is_removed_while_it_is_opened_is_none_and_stays_away(
    make_library: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_library()
    meanwhile(monkeypatch, lambda: remove(folder))
    with pytest.raises(LibraryError, match="no library"):
        open_library(folder)
    assert not folder.exists()


def test_what_was_opened_can_be_read_after_its_removal(make_library: Make) -> None:
    folder = make_library()
    stored = open_library(folder)
    remove(folder)
    for segment in stored.segments:
        key, value = pages(plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)[stored.segments.index(segment)])
        assert segment.key.equal(key)
        assert segment.value.equal(value)


def test_a_library_that_is_being_written_is_not_removed(make_library: Make) -> None:
    folder = make_library()
    with Writer(folder), pytest.raises(LibraryError, match=f"being written by process {os.getpid()} "):
        remove(folder)
    assert open_library(folder).manifest.num_tokens == 150


def test_what_an_ingest_that_never_ended_left_can_be_removed(home: Path) -> None:
    folder = library_folder("half")
    planned = plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)
    with Writer(folder) as writer:
        writer.write_segment(planned[0], *pages(planned[0]))
    remove(folder)
    assert list(folder.parent.iterdir()) == []


def test_what_a_killed_removal_left_goes_with_the_next_one(make_library: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    one = make_library("one")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(one)
    home = library_folder("one").parent
    assert not library_folder("one").exists()
    assert len(list(home.iterdir())) == 1
    remove(make_library("two"))
    assert list(home.iterdir()) == []


def test_a_second_writer_takes_nothing_away_from_a_reader_that_is_just_done(
    make_library: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_library()
    (folder / ".verified.json.1.tmp").write_bytes(b"{}")
    found = Path.rglob

    def rglob(path: Path, pattern: str) -> list[Path]:
        temporary = list(found(path, pattern))
        for file in temporary:
            file.rename(folder / "verified.json")
        return temporary

    monkeypatch.setattr(Path, "rglob", rglob)
    with Writer(folder):
        pass
    assert open_library(folder).manifest.num_tokens == 150
