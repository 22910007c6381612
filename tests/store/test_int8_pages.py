"""Pages of 8-bit codes on disk: their scales beside them, and a format that older versions refuse by its number."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from tests.store.conftest import FINGERPRINT, SEGMENT, make_manifest, pages, tokens
from tscli.errors import DamagedLibrary, LibraryError
from tscli.store import Writer, export_library, import_library, library_folder, open_library, plan_chain, verify
from tscli_kernels import quantise_rows

INT8 = replace(FINGERPRINT, kv_dtype="int8")


def fill(folder: Path, *, scales: bool = True) -> None:
    ids = tokens(150)
    with Writer(folder) as writer:
        records = []
        for planned in plan_chain(INT8.digest(), ids, SEGMENT):
            (key, key_scale), (value, value_scale) = (quantise_rows(part, torch.bfloat16) for part in pages(planned))
            records.append(writer.write_segment(planned, key, value, (key_scale, value_scale) if scales else None))
        writer.commit(make_manifest(folder, ids, INT8).with_segments(records), {"token_ids": torch.from_numpy(ids)})


def test_what_was_written_is_read_with_its_scales(home: Path, tmp_path: Path) -> None:
    folder = library_folder("lib")
    fill(folder)
    assert verify(folder) == []
    export_library(folder, tmp_path / "lib.tar")
    for opened in (open_library(folder), open_library(import_library(tmp_path / "lib.tar", "other"))):
        for segment, planned in zip(opened.segments, plan_chain(INT8.digest(), tokens(150), SEGMENT), strict=True):
            assert segment.scales is not None
            for codes, scale, wanted in zip((segment.key, segment.value), segment.scales, pages(planned), strict=True):
                found, scales = quantise_rows(wanted, torch.bfloat16)
                assert torch.equal(codes, found)
                assert torch.equal(scale, scales)


def test_pages_without_their_scales_are_refused(home: Path) -> None:
    fill(library_folder("lib"), scales=False)
    with pytest.raises(DamagedLibrary, match="scales of its pages"):
        open_library(library_folder("lib"))


def test_other_pages_than_the_manifest_says_are_refused(make_library: Callable[..., Path]) -> None:
    path = make_library() / "manifest.json"
    raw = json.loads(path.read_text())
    del raw["checksum"]
    path.write_text(json.dumps({**raw, "format_version": 2, "fingerprint": {**raw["fingerprint"], "kv_dtype": "int8"}}))
    with pytest.raises(DamagedLibrary, match="shape or dtype"):
        open_library(path.parent)


def test_a_library_without_them_is_of_format_1(make_library: Callable[..., Path]) -> None:
    raw = json.loads((make_library() / "manifest.json").read_text())
    assert raw["format_version"] == 1
    assert raw["fingerprint"].keys() == asdict(FINGERPRINT).keys() - {"kv_dtype", "weights", "kv_layout"}


def test_the_segments_of_older_libraries_keep_their_names() -> None:
    assert FINGERPRINT.digest() == "d07ecc5551f8666619a3afab3ac5f7d04afb5a4c6d26b9da0fdf26a1a9c52282"


@pytest.mark.parametrize("more", [{"kv_dtype": "int8"}, {"kv_dtype": "bfloat16"}, {"weights": "int8"}])
def test_what_older_versions_do_not_know_has_a_format_and_segments_of_its_own(more: dict[str, str]) -> None:
    fingerprint = replace(FINGERPRINT, **more)
    assert fingerprint.format_version == 2
    assert fingerprint.digest() != FINGERPRINT.digest()


@pytest.mark.parametrize(
    ("version", "more", "why"),
    [
        (1, {"kv_dtype": "int8"}, "format version"),
        (2, {}, "format version"),
        (1, {"kv_layout": 2}, "format version"),
        (3, {"kv_layout": "2"}, "not a number"),
        (2, {"kv_dtype": "int4"}, "is unknown"),
        (2, {"weights": "int4"}, "is unknown"),
        (1, {"dtype": "float8"}, "shape of its keys is unknown"),
        (1, {"num_kv_heads": 0}, "shape of its keys is unknown"),
        (1, {"head_dim": "64"}, "shape of its keys is unknown"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    make_library: Callable[..., Path], version: int, more: dict[str, object], why: str
) -> None:
    path = make_library() / "manifest.json"
    raw = json.loads(path.read_text())
    del raw["checksum"]
    path.write_text(json.dumps({**raw, "format_version": version, "fingerprint": {**raw["fingerprint"], **more}}))
    with pytest.raises(LibraryError, match=why):
        open_library(path.parent)
