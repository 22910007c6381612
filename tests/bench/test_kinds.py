"""What a bench says of pages and weights is what it measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tscli
from tscli.bench.transformers_peer import DTYPES
from tscli_kernels import has_int8_products


@pytest.mark.skipif(not has_int8_products(), reason="this processor's 8-bit products overflow")
def test_rows_name_pages_and_weights_and_dense_stays_what_to_compare_with(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DTYPES, "cpu", (torch.float32,))  # so that no trial decides
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu", weights="int8")
    rows = tscli.benchmark([600], load, tscli.SelectionOptions(), 3, 1, peers=["transformers"], kv_dtype="int8").rows
    named = {row.method: row.fields["backend"] for row in rows}
    assert named == {
        "dense": "cpu float32, kv float32, weights int8",
        "tokenselect": "cpu float32, kv int8, weights int8",
        "transformers": "cpu float32, kv float32, weights float32",
    }
    sizes = {row.method: row.fields["size"] for row in rows}
    assert sizes["dense"] == sizes["tokenselect"] < sizes["transformers"]
    assert len({row.fields["params"] for row in rows}) == 1
    read = {row.method: row.fields["bytes_read"] for row in rows if "bytes_read" in row.fields}
    assert read["tokenselect"] < read["dense"] / 4
    disk = {row.method: row.fields["disk_bytes"] for row in rows if "disk_bytes" in row.fields}
    assert disk["dense"] == 600 * 2 * 3 * 2 * 16 * 4  # keys and values, layers, kv heads, head_dim, float32
    assert disk["tokenselect"] == pytest.approx(disk["dense"] / 4, rel=0.2)
