"""Control tokens, which document text must never become. Knows a tokenizer.json and a chat template.

"Special" alone does not say it: the marks of a turn or of a thought (`<|User|>`, `<think>`) are ordinary added tokens in some
models, and those are matched in plain text even with special tokens off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # what characters without a token of their own are spelled by


def control_ids(content: Mapping[str, Any], chat_template: str) -> np.ndarray:
    """Ids, int32 [n], of the special tokens of a tokenizer.json and of its added tokens that the chat template writes."""
    unknown = content["model"].get("unk_token")
    found = [
        token["id"]
        for token in content.get("added_tokens", [])
        if (token["special"] or (token["content"].strip() and token["content"] in chat_template))
        and token["content"] != unknown
        and not BYTE.fullmatch(token["content"])
    ]
    return np.array(found, dtype=np.int32)
