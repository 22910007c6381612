"""Which libraries are served, by which names; one model for all that were made by it."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tests.serve.conftest import Serving, ingest, wait_until
from tscli.errors import UsageError
from tscli.paths import library_folder
from tscli.serve.served_libraries import Asked, ServedLibraries


@pytest.fixture
def two(documents: Path, tmp_path: Path) -> Path:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("The clerk is Anselm Pryce.\n")
    ingest(tmp_path / "letters", "letters")
    return documents


def test_without_names_all_libraries_are_served_new_ones_among_them(documents: Path, two: Path) -> None:
    shelf = ServedLibraries()
    assert shelf.names == ("letters", "shelf")
    tscli.remove("letters")
    assert shelf.names == ("shelf",)


def test_a_name_may_say_how_and_which_together(two: Path) -> None:
    shelf = ServedLibraries()
    assert shelf.find("shelf") == Asked(("shelf",))
    assert shelf.find("shelf@paper") == Asked(("shelf",), paper=True)
    assert shelf.find("shelf+letters@paper") == Asked(("shelf", "letters"), paper=True)
    for name in ("", "@paper", "+", "shelf+", "shelf+shel", "shelf@", "shelf@other", "shelf@paper@paper", "SHELF"):
        assert shelf.find(name) is None


def test_libraries_of_one_model_share_it_and_an_open_one_is_not_opened_again(two: Path) -> None:
    shelf = ServedLibraries()
    first, second = shelf.session(Asked(("shelf",))), shelf.session(Asked(("letters",)))
    assert first.decoder is second.decoder is shelf.session(Asked(("shelf",), paper=True)).decoder
    assert shelf.session(Asked(("shelf",))) is first
    assert first.strategy is not shelf.session(Asked(("shelf",), paper=True)).strategy


def test_what_was_ingested_anew_is_opened_anew_with_the_same_model(two: Path) -> None:
    shelf = ServedLibraries()
    before, opened, manifest = shelf.session(Asked(("shelf",))), shelf.opened("shelf"), shelf.manifest("shelf")
    (two / "new.txt").write_text("The cook is Ines Vale.\n")
    ingest(two)
    after = shelf.session(Asked(("shelf",)))
    assert after is not before
    assert after.decoder is before.decoder
    assert after.context.token_ids.shape[0] > before.context.token_ids.shape[0]
    assert shelf.opened("shelf") is not opened
    assert shelf.manifest("shelf").num_tokens > manifest.num_tokens


def test_only_so_many_ways_of_asking_stay_open(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.serve.served_libraries.MOST_OPEN", 2)
    shelf = ServedLibraries()
    first, second = shelf.session(Asked(("shelf",))), shelf.session(Asked(("letters",)))
    assert shelf.session(Asked(("shelf",))) is first
    shelf.session(Asked(("shelf", "letters")))
    assert shelf.session(Asked(("shelf",))) is first
    assert shelf.session(Asked(("letters",))) is not second


def test_a_library_that_is_removed_is_let_go_of(two: Path) -> None:
    shelf = ServedLibraries()
    gone = [weakref.ref(shelf.session(Asked(("letters",)))), weakref.ref(shelf.opened("letters"))]
    kept, _ = shelf.session(Asked(("shelf",))), shelf.manifest("letters")
    tscli.remove("letters")
    shelf.close_changed()
    assert [one() for one in gone] == [None, None]
    assert shelf.session(Asked(("shelf",))) is kept


def test_the_engine_lets_go_of_it_though_nobody_asks(
    two: Path, serving: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tscli.serve.engine_thread.IDLE_S", 0.05)
    server = serving()
    gone = weakref.ref(server.shelf.session(Asked(("letters",))))
    tscli.remove("letters")
    wait_until(lambda: gone() is None)


def test_a_library_given_by_its_path_is_served_by_its_folders_name(two: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "moved"
    shutil.copytree(library_folder("letters"), elsewhere)
    shelf = ServedLibraries([str(elsewhere), "shelf"])
    assert shelf.names == ("moved", "shelf")
    session = shelf.session(Asked(("moved", "shelf")))
    assert list(shelf.served_names(session).values()) == ["moved", "shelf"]
    with pytest.raises(UsageError, match="two libraries would be served as 'letters'"):
        ServedLibraries(["letters", str(tmp_path / "letters")])
