"""Archives that are forged, cut, renamed or no archives at all are refused, and leave nothing behind."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

from tests.store.conftest import tokens, unseal
from tscli.errors import LibraryError, TscliError, UsageError
from tscli.store import (
    export_library,
    import_library,
    list_libraries,
    open_library,
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


def write(file: Path, content: Members) -> None:
    with tarfile.open(file, "w") as tar:
        for member, data in content:
            if member.isreg():
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def forge(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the manifest, and the checksums so that they agree with it."""
    (sums, listing), (about, text), *rest = members(file)
    text = unseal(text.decode(), change).encode()
    manifest = json.loads(text)
    plain = [("context_file", "context_xxh3"), ("sketch_file", "sketch_xxh3")]
    named = {manifest[name]: manifest[xxh3] for name, xxh3 in plain if manifest[name]}
    named |= {f"segments/{record['id']}.pt": record["xxh3"] for record in manifest["segments"]}
    named = {"manifest.json": xxhash.xxh3_128_hexdigest(text), **named}
    listing = "".join(f"{xxh3}  {name}\n" for name, xxh3 in named.items()).encode()
    write(file, [(sums, listing), (about, text), *rest])


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _renamed(name: str) -> Callable[[Members], Members]:
    def change(content: Members) -> Members:
        content[-1][0].name = name
        return content

    return change


def _of_type(kind: bytes) -> Callable[[Members], Members]:
    def change(content: Members) -> Members:
        content[-1][0].type, content[-1][0].linkname = kind, "/etc/passwd"
        return content

    return change


@pytest.mark.parametrize(
    "change",
    [
        _renamed("/tmp/evil"),
        _renamed("../evil"),
        _renamed("segments/../../evil"),
        _renamed("segments/evil.pt"),
        _renamed("./manifest.json"),
        _of_type(tarfile.SYMTYPE),
        _of_type(tarfile.LNKTYPE),
        _of_type(tarfile.CHRTYPE),
        _of_type(tarfile.FIFOTYPE),
        _of_type(tarfile.DIRTYPE),
        lambda content: [*content, content[-1]],
        lambda content: [*content, (tarfile.TarInfo("evil"), b"x")],
        lambda content: content[:-1],
        lambda content: content[1:],
        lambda content: [content[1], content[0], *content[2:]],
        lambda content: [*content[:-1], (content[-1][0], content[-1][1][:-1])],
        lambda content: [*content[:-1], (content[-1][0], bytes(len(content[-1][1])))],
        lambda content: [content[0], (content[1][0], content[1][1] + b" "), *content[2:]],
        lambda content: [(content[0][0], content[0][1].replace(b"a", b"b")), *content[1:]],
        lambda content: [],
    ],
)
def test_an_archive_that_holds_anything_but_its_library_is_refused_and_leaves_nothing(
    archive: Path, home: Path, tmp_path: Path, change: Callable[[Members], Members]
) -> None:
    write(archive, change(members(archive)))
    before = everything(tmp_path)
    with pytest.raises(LibraryError, match=r"lib\.tar"):
        import_library(archive)
    assert everything(tmp_path) == before
    assert list((home / "libraries").iterdir()) == []
    assert list_libraries() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(context_file=".."),
        lambda m: m.update(context_file="manifest.json"),
        lambda m: m.update(context_file="context-/../x.pt"),
        lambda m: m.update(context_file="/etc/passwd"),
        lambda m: m.update(sketch_file="lock"),
        lambda m: m.update(context_size="1"),
        lambda m: m["segments"][0].update(id="../../evil"),
        lambda m: m["segments"][0].update(id=5),
        lambda m: m["segments"][0].update(xxh3="0"),
        lambda m: m.update(format_version=99),
        lambda m: m.update(documents=7),
    ],
)
def test_a_forged_manifest_is_refused_too(archive: Path, home: Path, change: Callable[[dict[str, object]], object]) -> None:
    forge(archive, change)
    with pytest.raises(LibraryError, match=r"lib\.tar"):
        import_library(archive)
    assert list_libraries() == []


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "", 5, "a\x1b[2Jb"])
def test_an_archive_cannot_choose_a_name_that_leaves_the_home(archive: Path, name: object) -> None:
    forge(archive, lambda manifest: manifest.update(library=name))
    with pytest.raises(UsageError, match="--library") as error:
        import_library(archive)
    assert "\x1b" not in str(error.value)
    assert verify(import_library(archive, "mine")) == []


@pytest.mark.parametrize("content", [b"", b"not a tar" * 200, b"\x1f\x8b" + bytes(600), bytes(10240)])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(LibraryError, match="not an archive that tscli export wrote"):
        import_library(tmp_path / "a.tar")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.8])
def test_an_archive_that_was_cut_off_is_refused(archive: Path, home: Path, share: float) -> None:
    os.truncate(archive, int(archive.stat().st_size * share))
    with pytest.raises(LibraryError, match=r"lib\.tar"):
        import_library(archive)
    assert list_libraries() == []


def test_every_byte_that_flips_is_noticed_or_without_effect(archive: Path) -> None:
    whole = archive.read_bytes()
    for place in range(0, len(whole), 1201):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            folder = import_library(archive, force=True)
        except TscliError:
            continue
        assert verify(folder) == []
        assert open_library(folder).context["token_ids"].tolist() == tokens(150).tolist()
