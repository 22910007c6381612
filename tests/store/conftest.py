from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tscli.store import Fingerprint, Manifest, PlannedSegment, Writer, library_folder, plan_chain

FINGERPRINT = Fingerprint("m", None, "mh", "th", "float32", 2, 2, 8, {"rope_theta": 1e4}, {"k": 4}, 16, 4)
SEGMENT = 64


def tokens(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, count).astype(np.int32)


def pages(planned: PlannedSegment) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values that follow from the segment's id."""
    generator = torch.Generator().manual_seed(int(planned.id[:8], 16))
    shape = (2, -(-planned.num_tokens // 16), 2, 16, 8)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def make_manifest(folder: Path, token_ids: np.ndarray, fingerprint: Fingerprint = FINGERPRINT) -> Manifest:
    return Manifest.new(
        library=folder.name,
        fingerprint=fingerprint,
        template={"prefix": ""},
        tokens_sha256=f"{token_ids.sum():064d}",
        num_tokens=len(token_ids),
        documents=[{"path": "a.txt"}],
        settings={"k": 4},
    )


def fill(
    folder: Path,
    token_ids: np.ndarray,
    fingerprint: Fingerprint = FINGERPRINT,
    heads: Sequence[tuple[int, int]] = (),
) -> Manifest:
    """Write a whole library."""
    planned = plan_chain(fingerprint.digest(), token_ids, SEGMENT)
    with Writer(folder) as writer:
        missing = {segment.id for segment in writer.missing(planned)}
        records = [writer.write_segment(s, *pages(s)) if s.id in missing else writer.record(s) for s in planned]
        manifest = make_manifest(folder, token_ids, fingerprint).with_segments(records)
        return writer.commit(manifest, {"token_ids": torch.from_numpy(token_ids)}, heads=heads)


def unseal(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    """An edited manifest without a checksum, as one of before, so that what else is checked sees it."""
    content = json.loads(text)
    content.pop("checksum", None)
    change(content)
    return json.dumps(content)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    path.write_text(unseal(path.read_text(), change))


@pytest.fixture
def make_library(home: Path) -> Callable[..., Path]:
    def make(name: str = "lib", count: int = 150, seed: int = 0) -> Path:
        folder = library_folder(name)
        fill(folder, tokens(count, seed))
        return folder

    return make
