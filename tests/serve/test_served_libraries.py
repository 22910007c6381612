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
from tscli.model.decoder import Decoder
from tscli.model.options import LoadOptions
from tscli.paths import library_folder
from tscli.serve import served_libraries
from tscli.serve.served_libraries import ServedLibraries, Target


@pytest.fixture
def two(documents: Path, tmp_path: Path) -> Path:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("The clerk is Anselm Pryce.\n")
    ingest(tmp_path / "letters", "letters")
    return documents


def test_without_names_all_libraries_are_served_new_ones_among_them(documents: Path, two: Path) -> None:
    served = ServedLibraries()
    assert served.names == ("letters", "shelf")
    tscli.remove("letters")
    assert served.names == ("shelf",)


def test_a_name_may_say_how_and_which_together(two: Path) -> None:
    served = ServedLibraries()
    assert served.find("shelf") == Target(("shelf",))
    assert served.find("shelf@paper") == Target(("shelf",), paper=True)
    assert served.find("shelf+letters@paper") == Target(("shelf", "letters"), paper=True)
    for name in ("", "@paper", "+", "shelf+", "shelf+shel", "shelf@", "shelf@other", "shelf@paper@paper", "SHELF"):
        assert served.find(name) is None


def test_libraries_of_one_model_share_it_and_an_open_one_is_not_opened_again(two: Path) -> None:
    served = ServedLibraries()
    first, second = served.session(Target(("shelf",))), served.session(Target(("letters",)))
    assert first.decoder is second.decoder is served.session(Target(("shelf",), paper=True)).decoder
    assert served.session(Target(("shelf",))) is first
    assert first.strategy is not served.session(Target(("shelf",), paper=True)).strategy


def test_what_takes_long_at_a_models_first_use_is_told(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, load = list[tuple[str, int, int]](), served_libraries.load_decoder

    def slow(options: LoadOptions, on_step: Callable[[str, int, int], None], **how: bool) -> Decoder:
        on_step("packing weights in 4 bits", 0, 7)
        return load(options, on_step, **how)

    monkeypatch.setattr(served_libraries, "load_decoder", slow)
    served = ServedLibraries(on_step=lambda *step: told.append(step))
    for name in ("shelf", "letters"):
        served.session(Target((name,)))
    assert told == [("packing weights in 4 bits", 0, 7)]


def test_what_was_ingested_anew_is_opened_anew_with_the_same_model(two: Path) -> None:
    served = ServedLibraries()
    before, opened, manifest = served.session(Target(("shelf",))), served.opened("shelf"), served.manifest("shelf")
    (two / "new.txt").write_text("The cook is Ines Vale.\n")
    ingest(two)
    after = served.session(Target(("shelf",)))
    assert after is not before
    assert after.decoder is before.decoder
    assert after.context.token_ids.shape[0] > before.context.token_ids.shape[0]
    assert served.opened("shelf") is not opened
    assert served.manifest("shelf").num_tokens > manifest.num_tokens


def test_only_so_many_ways_of_asking_stay_open(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.serve.served_libraries.MOST_OPEN", 2)
    served = ServedLibraries()
    first, second = served.session(Target(("shelf",))), served.session(Target(("letters",)))
    assert served.session(Target(("shelf",))) is first
    served.session(Target(("shelf", "letters")))
    assert served.session(Target(("shelf",))) is first
    assert served.session(Target(("letters",))) is not second


def test_a_library_that_is_removed_is_let_go_of(two: Path) -> None:
    served = ServedLibraries()
    gone = [weakref.ref(served.session(Target(("letters",)))), weakref.ref(served.opened("letters"))]
    kept, _ = served.session(Target(("shelf",))), served.manifest("letters")
    tscli.remove("letters")
    served.close_changed()
    assert [one() for one in gone] == [None, None]
    assert served.session(Target(("shelf",))) is kept


def test_the_engine_lets_go_of_it_though_nobody_asks(
    two: Path, serving: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tscli.serve.engine_thread.IDLE_S", 0.05)
    server = serving()
    gone = weakref.ref(server.served.session(Target(("letters",))))
    tscli.remove("letters")
    wait_until(lambda: gone() is None)


def test_a_library_given_by_its_path_is_served_by_its_folders_name(two: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "moved"
    shutil.copytree(library_folder("letters"), elsewhere)
    served = ServedLibraries([str(elsewhere), "shelf"])
    assert served.names == ("moved", "shelf")
    session = served.session(Target(("moved", "shelf")))
    assert list(served.served_names(session).values()) == ["moved", "shelf"]
    with pytest.raises(UsageError, match="two libraries would be served as 'letters'"):
        ServedLibraries(["letters", str(tmp_path / "letters")])
