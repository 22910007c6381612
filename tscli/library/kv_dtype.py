"""What a library may keep its keys and values in; free of torch."""

from __future__ import annotations

from typing import Literal

KVDtype = Literal["auto", "bf16", "int8"]
KV_DTYPES: dict[str, str | None] = {"auto": None, "bf16": "bfloat16", "int8": "int8"}  # as asked for: as torch calls it
