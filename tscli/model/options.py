"""Which model to load, where and how; free of torch, so that the command line can build it cheaply."""

from __future__ import annotations

from dataclasses import dataclass

EMBEDDED = "reader"


@dataclass(frozen=True)
class LoadOptions:
    """model: hub id, folder, .gguf file, short name, or "reader" for the embedded one; None: the library's own, or the default.
    dtype: auto, float32, bfloat16, float16; device: auto, cpu, cuda; weights: int8 for linear layers by 8-bit products (CPU),
    full for the full ones throughout, auto for the library's own: the full ones, but answers by the 4- and 8-bit weights of
    a GGUF file that has them (CPU)."""

    model: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    weights: str = "auto"
