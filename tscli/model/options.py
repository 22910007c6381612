"""Which model to load, where and how; free of torch, so that the command line can build it cheaply."""

from __future__ import annotations

from dataclasses import dataclass

EMBEDDED = "reader"


@dataclass(frozen=True)
class LoadOptions:
    """Which model to load, and how.

    model: hub id, folder, .gguf file, short name, or "reader" for the embedded one; None: the library's own, or the default.
    dtype: auto, float32, bfloat16 or float16. device: auto, cpu or cuda.
    weights: "int8" multiplies 8-bit integers in linear layers (CPU); "full" uses the full weights throughout; "auto" uses
        what the library was made with, and for answers the 4- and 8-bit weights of a GGUF file that has them (CPU).
    """

    model: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    weights: str = "auto"
