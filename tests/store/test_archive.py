"""A library travels as one file: what arrives is what left, and an archive can write nothing but a library."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import xxhash

from tests.store.conftest import FINGERPRINT, SEGMENT, fill, make_manifest, pages, tokens
from tscli.errors import LibraryError, ResourceError, UsageError
from tscli.store import (
    Writer,
    export_library,
    import_library,
    library_folder,
    list_libraries,
    missing_segments,
    open_library,
    plan_chain,
    read_manifest,
    remove,
    verify,
)

Make = Callable[..., Path]
Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def archive(make_library: Make, tmp_path: Path) -> Path:
    """An archive whose library is gone."""
    folder, file = make_library(), tmp_path / "lib.tar"
    export_library(folder, file)
    remove(folder)
    return file


def members(file: Path) -> Members:
    with tarfile.open(file) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_arrives_is_what_left(make_library: Make, tmp_path: Path) -> None:
    folder, file = make_library(), tmp_path / "lib.tar"
    assert export_library(folder, file) == file.stat().st_size
    left = open_library(folder)
    keys = [segment.key.clone() for segment in left.segments]
    remove(folder)
    arrived = open_library(import_library(file), verify=True)
    assert arrived.manifest == left.manifest
    assert arrived.context["token_ids"].tolist() == tokens(150).tolist()
    assert all(torch.equal(segment.key, key) for segment, key in zip(arrived.segments, keys, strict=True))
    planned = plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)
    assert missing_segments(library_folder("lib"), planned) == []  # an ingest goes on from here


def test_a_sketch_travels_with_its_library(home: Path, tmp_path: Path) -> None:
    folder, planned = library_folder("lib"), plan_chain(FINGERPRINT.digest(), tokens(50), SEGMENT)
    with Writer(folder) as writer:
        manifest = make_manifest(folder, tokens(50)).with_segments([writer.write_segment(planned[0], *pages(planned[0]))])
        writer.commit(manifest, {"token_ids": torch.arange(50)}, {"planes": torch.arange(7)})
    export_library(folder, tmp_path / "lib.tar")
    other = import_library(tmp_path / "lib.tar", "other")
    assert open_library(other).sketch["planes"].tolist() == list(range(7))


def test_the_checksums_are_those_of_the_files_and_the_archive_says_nothing_else(archive: Path) -> None:
    (about, listing), *files = members(archive)
    assert about.name == "checksums.txt"
    assert listing.decode() == "".join(f"{xxhash.xxh3_128_hexdigest(data)}  {member.name}\n" for member, data in files)
    assert {(member.uname, member.uid, member.mtime) for member, _ in files} == {("", 0, 0)}


def test_a_library_can_be_imported_under_another_name_and_shares_its_segments(make_library: Make, tmp_path: Path) -> None:
    one, file = make_library(), tmp_path / "lib.tar"
    export_library(one, file)
    two = import_library(file, "two")
    manifest = read_manifest(two)
    assert manifest is not None
    assert manifest.library == "two"
    names = [f"segments/{record.id}.pt" for record in manifest.segments]
    assert all((one / name).stat().st_ino == (two / name).stat().st_ino for name in names)
    remove(one)
    assert verify(two) == []


def test_a_segment_that_differs_from_that_of_another_library_is_not_shared(make_library: Make, tmp_path: Path) -> None:
    one, file = make_library(), tmp_path / "lib.tar"
    export_library(one, file)
    planned = plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)[0]
    with Writer(one) as writer:  # as another machine's arithmetic has it
        writer.write_segment(planned, *(page + 1e-6 for page in pages(planned)))
    two = import_library(file, "two")
    assert verify(two) == []
    assert (one / f"segments/{planned.id}.pt").read_bytes() != (two / f"segments/{planned.id}.pt").read_bytes()


def test_a_library_of_that_name_is_replaced_only_when_asked(make_library: Make, archive: Path) -> None:
    folder = make_library(seed=7)
    with pytest.raises(LibraryError, match="--force"):
        import_library(archive)
    assert open_library(folder).context["token_ids"].tolist() == tokens(150, seed=7).tolist()
    import_library(archive, force=True)
    assert open_library(folder, verify=True).context["token_ids"].tolist() == tokens(150).tolist()
    assert [path.name for path in folder.parent.iterdir()] == ["lib"]
    fill(folder, tokens(150, seed=8))  # and can be written again


def test_a_library_that_is_being_written_is_not_replaced(make_library: Make, archive: Path) -> None:
    folder = make_library(seed=7)
    with Writer(folder), pytest.raises(LibraryError, match="being written"):
        import_library(archive, force=True)
    assert verify(folder) == []
    assert [path.name for path in folder.parent.iterdir()] == ["lib"]


def test_a_folder_of_something_else_is_never_replaced(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    with pytest.raises(LibraryError, match="not empty"):
        import_library(archive, str(tmp_path / "photos"), force=True)
    assert everything(tmp_path / "photos") == ["cat.jpg"]


def test_a_damaged_library_is_not_exported_and_leaves_no_file(make_library: Make, tmp_path: Path) -> None:
    folder = make_library()
    (folder / "segments" / f"{plan_chain(FINGERPRINT.digest(), tokens(150), SEGMENT)[1].id}.pt").write_bytes(b"junk")
    with pytest.raises(LibraryError, match="were written"):
        export_library(folder, tmp_path / "lib.tar")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_file_is_replaced_only_when_asked(make_library: Make, tmp_path: Path) -> None:
    folder, file = make_library(), tmp_path / "lib.tar"
    file.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        export_library(folder, file)
    assert file.read_text() == "mine"
    export_library(folder, file, force=True)
    assert tarfile.is_tarfile(file)
    with pytest.raises(UsageError, match="a folder or a device"):
        export_library(folder, tmp_path, force=True)
    os.mkfifo(tmp_path / "device")
    with pytest.raises(UsageError, match="a folder or a device"):
        export_library(folder, tmp_path / "device", force=True)
    assert (tmp_path / "device").is_fifo()
    with pytest.raises(UsageError, match="is not a folder"):
        export_library(folder, tmp_path / "absent" / "lib.tar")
    with pytest.raises(LibraryError, match="no library"):
        export_library(library_folder("absent"), tmp_path / "b.tar")


def test_a_read_only_library_can_be_exported(make_library: Make, tmp_path: Path) -> None:
    folder = make_library()
    folder.chmod(0o500)
    try:
        export_library(folder, tmp_path / "lib.tar")
    finally:
        folder.chmod(0o700)
    assert verify(import_library(tmp_path / "lib.tar", "two")) == []


def test_a_disk_that_is_too_small_is_an_error_before_anything_is_written(
    archive: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("tscli.store.archive.shutil.disk_usage", lambda _: free)
    with pytest.raises(ResourceError, match="1,000 are free"):
        import_library(archive)
    assert list((home / "libraries").iterdir()) == []


def test_an_interrupted_import_leaves_nothing_and_a_killed_ones_remains_go_with_the_next(
    archive: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tscli.store.archive.problem_with", interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_library(archive)
    monkeypatch.undo()
    monkeypatch.setenv("TSCLI_HOME", str(home))
    assert list((home / "libraries").iterdir()) == []
    killed = home / "libraries" / ".lib.abc.tscli-import"
    killed.mkdir()
    (killed / "manifest.json").write_text("{}")
    assert list_libraries() == []
    import_library(archive)
    assert [path.name for path in (home / "libraries").iterdir()] == ["lib"]


def test_bytes_are_told_as_they_pass_and_end_with_all_of_them(make_library: Make, tmp_path: Path) -> None:
    folder, file = make_library(), tmp_path / "lib.tar"
    told: list[tuple[int, int]] = []
    export_library(folder, file, on_bytes=lambda *counts: told.append(counts))
    total = sum(path.stat().st_size for path in folder.rglob("*.pt"))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert (told[-1], {whole for _, whole in told}) == ((total, total), {total})
    told.clear()
    import_library(file, "linked", on_bytes=lambda *counts: told.append(counts))
    assert told[-1] == (total, total)
    remove(folder)
    remove(library_folder("linked"))
    told.clear()
    import_library(file, "written", on_bytes=lambda *counts: told.append(counts))
    assert told[-1] == (total, total)
