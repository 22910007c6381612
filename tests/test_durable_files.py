"""A file that is replaced holds what it held or the whole of what it is to hold, and nothing is left beside it."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tscli.durable_files import link, place_folder, replacing
from tscli.errors import ResourceError


def test_a_file_has_its_old_content_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("before")
    with replacing(file) as new:
        new.write(b"af")
        new.flush()
        assert file.read_text() == "before"
        new.write(b"ter")
    assert file.read_text() == "after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_half_way_leaves_the_old_content_and_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("before")

    def interrupted() -> None:
        with replacing(file) as new:
            new.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_was_removed_does_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "gone" / "a") as new:
        new.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_to_sync_is_a_resource_error_that_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match=f"{tmp_path}.*no space left"), replacing(tmp_path / "a") as new:
        new.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_threads_that_replace_one_file_at_once_each_write_their_own(tmp_path: Path) -> None:
    file = tmp_path / "a"

    def write(letter: bytes) -> None:
        for _ in range(5):
            with replacing(file) as new:
                new.write(letter * 5000)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, (b"a", b"b", b"c", b"d")))
    content = file.read_bytes()
    assert len(content) == 5000
    assert len(set(content)) == 1
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("links", [True, False])
def test_a_linked_file_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("now")
    target.write_text("before")
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    link(source, target)
    assert target.read_text() == "now"
    assert target.samefile(source) == links
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_all_that_a_folder_holds_is_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, target = tmp_path / "part", tmp_path / "model"
    made.mkdir()
    (made / "weights").write_text("w")
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, target.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    place_folder(made, target)
    inodes = [(target / "weights").stat().st_ino, target.stat().st_ino, tmp_path.stat().st_ino]
    assert synced == list(zip(inodes, (False, False, True), strict=True))
