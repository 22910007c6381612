"""A depth is filled by pages that were read: whole ones again and again, the last one as far as it is needed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from tests.bench.test_voting import bench_of
from tscli.bench import setting
from tscli.bench.filling import Room, fill, room_for
from tscli.bench.rows import Unavailable
from tscli.ingest.prefill import prefill_in_memory
from tscli.model.kv import KVState


@pytest.fixture
def read(small_model: Path) -> KVState:
    bench = bench_of(small_model, 600, "int8")
    return prefill_in_memory(bench.decoder, bench.ids(100), bench.config, kv_dtype="int8")


@pytest.mark.parametrize("where", ["memory", "disk", "the same"])
def test_a_filled_depth_has_the_keys_and_values_of_its_beginning(read: KVState, where: str, tmp_path: Path) -> None:
    wanted = read.gather(2, torch.arange(100))
    fill(read, 270, {"memory": Room(), "disk": Room(tmp_path), "the same": None}[where])
    assert read.committed == 270
    for whole, once in zip(read.gather(2, torch.arange(270)), wanted, strict=True):
        assert torch.equal(whole, torch.cat([once, once, once[:, :70]], dim=1))
    addresses = {segment.key.data_ptr() for segment in read.segments}
    assert len(addresses) == (1 if where == "the same" else 3)


def test_pages_go_to_disk_where_memory_has_no_room_and_nowhere_where_that_has_none(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = bench_of(small_model, 150)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with room_for(bench, 1000) as room:
        assert not room.is_disk
    monkeypatch.setattr(setting, "available_bytes", lambda: 0)
    with room_for(bench, 1000) as room:
        assert room.is_disk
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())
    with pytest.raises(Unavailable, match=r"GiB of memory, 0\.0 GiB are free; on disk they need .*choose --kv-dtype int8"):
        room_for(bench, 10**12).__enter__()
