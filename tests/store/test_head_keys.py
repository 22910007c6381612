"""The keys that retrieval heads scan, kept once more in one file: those of the pages, checked as everything is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.store.conftest import FINGERPRINT, edit_manifest, fill, tokens
from tscli.errors import LibraryError
from tscli.store import Manifest, SegmentRecord, export_library, import_library, library_folder, open_library, prune, verify
from tscli.store.head_keys import head_keys_tensors
from tscli.store.segment import Segment
from tscli.store.writer import Writer
from tscli_kernels import PAGE_SCALE, expand_rows, quantise_rows

HEADS = ((0, 1), (1, 0))


@pytest.fixture
def folder(home: Path) -> Path:
    folder = library_folder("lib")
    fill(folder, tokens(150), heads=HEADS)
    return folder


def file_of(folder: Path) -> Path:
    return folder / json.loads((folder / "manifest.json").read_text())["head_keys_file"]


def test_they_are_those_of_the_pages_as_int8_without_empty_slots(folder: Path) -> None:
    library = open_library(folder)
    assert set(library.head_keys) == set(HEADS)
    for (layer, kv_head), (key, scale) in library.head_keys.items():
        rows = torch.cat([s.key[layer, :, kv_head].flatten(0, 1)[: s.num_tokens] for s in library.segments])
        assert (key.dtype, key.shape[0]) == (torch.int8, 150)
        assert scale is not None
        codes, sizes = quantise_rows(rows, PAGE_SCALE)
        assert torch.equal(key, codes)
        assert torch.equal(scale, sizes)
        assert ((expand_rows(key, scale) - rows).abs() <= 0.6 * scale.float()[:, None]).all()


def test_a_file_of_keys_in_the_dtype_of_the_pages_is_read_as_it_is(folder: Path) -> None:
    manifest = open_library(folder).manifest
    key = torch.randn(2, 150, 8)
    with Writer(folder) as writer:
        size, xxh3 = writer._save(folder / manifest.head_keys_file, {"key": key})
    (folder / "manifest.json").write_text(replace(manifest, head_keys_size=size, head_keys_xxh3=xxh3).to_json())
    found = open_library(folder).head_keys
    assert [scale for _, scale in found.values()] == [None, None]
    assert torch.equal(torch.stack([own for own, _ in found.values()]), key)


def test_int8_pages_are_taken_over_with_their_scales() -> None:
    key = torch.randint(-127, 128, (2, 3, 2, 4, 8), dtype=torch.int8)
    scale = torch.rand(2, 3, 2, 4).to(PAGE_SCALE)
    segments = [Segment(SegmentRecord("0" * 32, None, 0, size, 0, ""), key, key, (scale, scale)) for size in (10, 12)]
    made = head_keys_tensors(segments, HEADS)
    for number, (layer, kv_head) in enumerate(HEADS):
        rows, sizes = key[layer, :, kv_head].flatten(0, 1), scale[layer, :, kv_head].flatten()
        assert torch.equal(made["key"][number], torch.cat([rows[:10], rows]))
        assert torch.equal(made["scale"][number], torch.cat([sizes[:10], sizes]))


def test_a_library_without_them_is_written_as_before(home: Path) -> None:
    fill(library_folder("lib"), tokens(150))
    record = json.loads((library_folder("lib") / "manifest.json").read_text())
    assert record["format_version"] == FINGERPRINT.format_version
    assert not any(name.startswith("head_keys") for name in record)
    assert open_library(library_folder("lib")).head_keys == {}


def test_they_have_a_format_that_older_versions_refuse_by_name(folder: Path) -> None:
    assert open_library(folder).manifest.format_version == 4


def test_the_file_is_verified_kept_and_travels_in_an_archive(folder: Path, tmp_path: Path) -> None:
    assert prune(folder) == (0, 0)
    export_library(folder, tmp_path / "lib.tar")
    other = open_library(import_library(tmp_path / "lib.tar", "other"))
    for head, (key, _) in open_library(folder).head_keys.items():
        assert torch.equal(other.head_keys[head][0], key)
    path = file_of(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert [problem.file for problem in verify(folder)] == [str(path)]
    with pytest.raises(LibraryError, match=r"head-keys-.*checksum"):
        open_library(folder)


def test_the_file_of_an_earlier_state_goes_when_nobody_reads_it_any_more(folder: Path) -> None:
    before = file_of(folder)
    fill(folder, tokens(200), heads=HEADS[:1])
    assert before.exists()  # for who has just read the manifest of before
    assert list(open_library(folder).head_keys) == [HEADS[0]]
    fill(folder, tokens(200), heads=HEADS[:1])
    assert not before.exists()


def test_the_file_is_kept_as_long_as_it_is_whole_and_of_these_segments_and_heads(folder: Path) -> None:
    before = file_of(folder)
    fill(folder, tokens(150), heads=HEADS)
    assert file_of(folder) == before
    before.write_bytes(before.read_bytes()[:-1])
    fill(folder, tokens(150), heads=HEADS)
    assert file_of(folder) != before
    assert verify(folder) == []


@pytest.mark.parametrize("heads", [[[0, 1], [0, 1]], [[2, 0]], [[0, 2]], [[0]], [["a", 1]], []])
def test_heads_that_the_model_has_not_are_refused(folder: Path, heads: list[object]) -> None:
    edit_manifest(folder, lambda manifest: manifest.update({"head_keys": heads}))
    with pytest.raises(LibraryError, match="damaged"):
        open_library(folder)


def test_keys_of_fewer_tokens_are_refused(folder: Path) -> None:
    manifest: Manifest = open_library(folder).manifest
    wrong = {"key": torch.zeros(2, 149, 8)}
    with Writer(folder) as writer:
        size, xxh3 = writer._save(folder / manifest.head_keys_file, wrong)
    text = replace(manifest, head_keys_size=size, head_keys_xxh3=xxh3).to_json()
    (folder / "manifest.json").write_text(text)
    with pytest.raises(LibraryError, match="does not hold the keys of 150 tokens"):
        open_library(folder)
