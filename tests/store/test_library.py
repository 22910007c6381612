"""What is written is what is read; anything else is refused by name."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.store.conftest import FINGERPRINT, SEGMENT, edit_manifest, fill, pages, tokens
from tscli.errors import LibraryError, UsageError
from tscli.store import (
    Writer,
    library_folder,
    list_libraries,
    missing_segments,
    open_library,
    plan_chain,
    prune,
    read_context,
    read_manifest,
    remove,
    verify,
)

Make = Callable[..., Path]


def segment_files(folder: Path) -> list[Path]:
    manifest = read_manifest(folder)
    assert manifest is not None
    return [folder / "segments" / f"{record.id}.pt" for record in manifest.segments]


def test_a_new_process_reads_bit_equal_tensors(make_library: Make) -> None:
    folder = make_library()
    program = (
        "import sys, hashlib; from pathlib import Path; from tscli.store import open_library\n"
        "stored = open_library(Path(sys.argv[1]))\n"
        "for s in stored.segments: print(hashlib.sha256(s.key.numpy().tobytes() + s.value.numpy().tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    import hashlib

    expected = []
    for planned in plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT):
        key, value = pages(planned)
        expected.append(hashlib.sha256(key.numpy().tobytes() + value.numpy().tobytes()).hexdigest())
    assert done.stdout.split() == expected


def test_the_context_is_read_back(make_library: Make) -> None:
    stored = open_library(make_library())
    assert stored.context["token_ids"].tolist() == tokens(150).tolist()


def test_nothing_is_missing_after_it_was_written_and_appending_misses_the_end_only(make_library: Make) -> None:
    folder = make_library(count=150)
    assert missing_segments(folder, plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)) == []
    longer = np.concatenate([tokens(150), tokens(30, seed=3)])
    missing = missing_segments(folder, plan_chain(FINGERPRINT.digest(), longer, SEGMENT))
    assert [segment.start for segment in missing] == [128]


def test_segments_survive_a_run_that_never_committed(home: Path) -> None:
    folder = library_folder("lib")
    planned = plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)
    with Writer(folder) as writer:
        writer.write_segment(planned[0], *pages(planned[0]))
    assert read_manifest(folder) is None
    assert missing_segments(folder, planned) == planned[1:]


def test_temporary_files_of_a_killed_run_are_removed(make_library: Make) -> None:
    folder = make_library()
    stale = folder / "segments" / ".abc.pt.1.tmp"
    stale.write_bytes(b"half")
    with Writer(folder):
        assert not stale.exists()


@pytest.mark.parametrize("damage", ["flipped byte", "truncated", "missing", "swapped", "empty"])
def test_a_damaged_segment_is_refused_by_name_and_seen_by_verify_and_by_the_writer(make_library: Make, damage: str) -> None:
    folder = make_library()
    open_library(folder)
    first, second, _ = segment_files(folder)
    if damage == "flipped byte":
        data = bytearray(second.read_bytes())
        data[len(data) // 2] ^= 1
        second.write_bytes(bytes(data))
    elif damage == "truncated":
        os.truncate(second, second.stat().st_size // 2)
    elif damage == "missing":
        second.unlink()
    elif damage == "swapped":
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)
    else:
        second.write_bytes(b"")
    with pytest.raises(LibraryError, match=first.name if damage == "swapped" else second.name):
        open_library(folder)
    assert str(second) in [problem.file for problem in verify(folder)]
    planned = plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)
    assert planned[1] in missing_segments(folder, planned)


def test_ingesting_again_repairs_a_damaged_segment(make_library: Make) -> None:
    folder = make_library()
    segment_files(folder)[1].write_bytes(b"junk")
    fill(folder, tokens(150))
    assert verify(folder) == []


def test_a_byte_flipped_behind_a_verified_file_is_found_by_verify(make_library: Make) -> None:
    folder = make_library()
    open_library(folder)
    path = segment_files(folder)[0]
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-200] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [problem.file for problem in verify(folder)] == [str(path)]
    with pytest.raises(LibraryError, match="checksum"):
        open_library(folder, verify=True)


def test_verification_is_remembered_until_a_file_changes(make_library: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_library()
    open_library(folder)
    hashed: list[Path] = []
    from tscli.store import reader

    original = reader.hash_file
    monkeypatch.setattr(reader, "hash_file", lambda path: (hashed.append(path), original(path))[1])
    open_library(folder)
    assert hashed == []
    path = segment_files(folder)[2]
    os.utime(path)
    open_library(folder)
    assert hashed == [path]


def test_a_pickle_in_a_segment_is_never_executed(make_library: Make, tmp_path: Path) -> None:
    folder, mark = make_library(), tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {mark}",)

    path = segment_files(folder)[0]
    torch.save({"key": Evil(), "value": Evil()}, path)
    from tscli.store.segment import hash_file

    def as_it_lies() -> None:
        found = {"size_bytes": path.stat().st_size, "xxh3": hash_file(path)}
        edit_manifest(folder, lambda manifest: manifest["segments"][0].update(found))

    as_it_lies()
    with pytest.raises(LibraryError, match=path.name):
        open_library(folder)
    path.write_bytes(pickle.dumps(Evil()))
    as_it_lies()
    with pytest.raises(LibraryError, match=path.name):
        open_library(folder)
    assert not mark.exists()


def test_a_second_writer_is_told_who_holds_the_lock(make_library: Make) -> None:
    folder = make_library()
    with Writer(folder), pytest.raises(LibraryError, match=f"process {os.getpid()}"), Writer(folder):
        pass
    with Writer(folder):
        pass  # the lock does not outlive its owner


def test_readers_see_the_old_state_until_the_new_one_is_committed(make_library: Make) -> None:
    folder = make_library(count=150)
    planned = plan_chain(FINGERPRINT.digest(), tokens(400, seed=1), SEGMENT)
    with Writer(folder) as writer:
        writer.write_segment(planned[0], *pages(planned[0]))
        assert open_library(folder).manifest.num_tokens == 150


def test_libraries_share_segments_and_removing_one_leaves_the_other_whole(make_library: Make) -> None:
    one = make_library("one")
    planned = plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)
    with Writer(library_folder("two")) as writer:
        assert writer.missing(planned) == []
    two = make_library("two")
    assert segment_files(one)[0].stat().st_ino == segment_files(two)[0].stat().st_ino
    remove(one)
    assert verify(two) == []
    assert [info.name for info in list_libraries()] == ["two"]


def test_pruning_removes_what_nothing_refers_to(make_library: Make) -> None:
    folder = make_library(count=150)
    fill(folder, tokens(150, seed=5))
    files, freed = prune(folder)
    assert files >= 6
    assert freed > 0
    assert verify(folder) == []
    assert prune(folder) == (0, 0)


def test_a_read_only_library_opens(make_library: Make) -> None:
    folder = make_library()
    folder.chmod(0o500)
    try:
        assert open_library(folder).manifest.num_tokens == 150
    finally:
        folder.chmod(0o700)


def test_the_context_is_verified_too(make_library: Make) -> None:
    folder = make_library()
    manifest = read_manifest(folder)
    assert manifest is not None
    path = folder / manifest.context_file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LibraryError, match=path.name):
        read_context(folder, manifest)


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "a\nb", "x" * 200])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        library_folder(name)


def test_home_follows_the_environment(home: Path) -> None:
    from tscli.store import home as store_home

    assert store_home() == home


def test_what_was_just_written_is_not_hashed_again(make_library: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_library()

    def hash_file(path: Path) -> str:
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr("tscli.store.reader.hash_file", hash_file)
    assert len(open_library(folder).segments) == 3


def test_segments_are_the_same_bytes_each_time_and_torch_is_left_as_it_was(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    planned = plan_chain(FINGERPRINT.digest(), tokens(64, seed=9), SEGMENT)[0]
    records = []
    for name in ("one", "two"):
        with Writer(tmp_path / name) as writer:
            records.append(writer.write_segment(planned, *pages(planned)))
    assert records[0].xxh3 == records[1].xxh3
    assert torch.serialization.get_crc32_options() == before
