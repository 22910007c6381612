"""Where a model's calibrated retrieval heads are kept: one small file in the cache folder per hash of the weights.

Those of known models are shipped, in `answer/calibration/shipped/`, as `tscli calibrate` wrote them; they are read where the
cache has none. Runs no model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tscli.durable_files import replacing
from tscli.paths import retrieval_heads_file, shipped_retrieval_heads_file
from tscli.selection.retrieval_heads import RetrievalHeads


def load_retrieval_heads(model_hash: str) -> RetrievalHeads | None:
    """A model's retrieval heads; None where it was neither calibrated on this machine by this version nor is shipped with
    them."""
    return _read(retrieval_heads_file(model_hash)) or _read(shipped_retrieval_heads_file(model_hash))


def _read(file: Path) -> RetrievalHeads | None:
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return RetrievalHeads.of_record(record)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_retrieval_heads(model_hash: str, retrieval_heads: RetrievalHeads) -> Path:
    """Keep them; whole, or as before."""
    file = retrieval_heads_file(model_hash)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as kept:
        kept.write(json.dumps(retrieval_heads.record(), indent=1).encode())
    return file
