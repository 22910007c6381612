"""What a library holds is for its owner only, whatever the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.conftest import fill, tokens
from tscli.durable_files import make_private, open_private
from tscli.store import HISTORY, library_folder, open_library, remember


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


@pytest.mark.usefixtures("umask")
def test_folders_and_files_of_a_library_are_for_their_owner_only(home: Path, make_library: Callable[..., Path]) -> None:
    folder = make_library()
    open_library(folder)  # keeps what it has verified
    remember(folder, "now", "who?", {})
    found = modes(home)
    folders = {"home", "libraries", "lib", "segments"}
    assert {"manifest.json", "verified.json", "lock.holder", HISTORY} < set(found)
    assert found == {name: 0o700 if name in folders else 0o600 for name in found}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.usefixtures("umask")
def test_so_are_segments_taken_over_from_a_library_beside_it(
    make_library: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    make_library("first")
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    fill(library_folder("second"), tokens(150))
    found = modes(library_folder("second") / "segments")
    assert found.pop("segments") == 0o700
    assert len(found) > 1
    assert set(found.values()) == {0o600}


@pytest.mark.usefixtures("umask")
def test_a_file_that_others_could_read_is_closed_and_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "a").write_text("before")
    (tmp_path / "a").chmod(0o666)
    make_private(tmp_path / "b" / "c")
    make_private(tmp_path)
    with open_private(tmp_path / "a") as file:
        file.write(b"now")
    assert modes(tmp_path) == {tmp_path.name: 0o755, "a": 0o600, "b": 0o700, "c": 0o700}
    assert (tmp_path / "a").read_text() == "now"
