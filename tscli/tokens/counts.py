"""Numbers of tokens as people write them: 4096, 256k, 1m."""

from __future__ import annotations

import re

from tscli.errors import UsageError

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


def parse_count(text: str) -> int:
    """ "256k" -> 262144, "1m" -> 1048576, "4096" -> 4096; UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.strip().replace(",", "").replace("_", ""))
    count = float(match[1]) * UNITS[match[2].lower()] if match else 0.0
    if count < 1 or count != int(count):
        raise UsageError(f"{text!r} is not a number of tokens; write it like 4096, 256k or 1m")
    return int(count)
