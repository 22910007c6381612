"""What a library may keep its keys and values in; free of torch."""

from __future__ import annotations

from typing import Literal

KVDtype = Literal["auto", "bf16", "int8", "model"]
KV_DTYPES: dict[str, str | None] = {"auto": None, "bf16": "bfloat16", "int8": "int8", "model": None}  # as torch calls them


def pages_kv_dtype(chosen: KVDtype, dtype: str) -> str | None:
    """What a model that computes in `dtype` keeps pages in, as torch calls it; None for `dtype` itself.

    "auto" never is float32, which takes twice the bytes of bfloat16.
    """
    wanted = "bfloat16" if (chosen, dtype) == ("auto", "float32") else KV_DTYPES[chosen]
    return None if wanted == dtype else wanted
