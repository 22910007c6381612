"""The real models that tests may find: .gguf files in the folder that TSCLI_TEST_MODELS names."""

from __future__ import annotations

import os
from pathlib import Path

SMOLLM2, QWEN = "SmolLM2-135M-Instruct", "qwen2.5-coder-0.5b-instruct"


def find(name: str) -> Path | None:
    """A file whose name begins so; None where there is none."""
    folder = os.environ.get("TSCLI_TEST_MODELS")
    return next(iter(sorted(Path(folder).glob(f"{name}*.gguf"))), None) if folder else None
