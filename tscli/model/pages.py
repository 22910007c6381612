"""What a model reads of stored keys and values: the store's segments fulfil it. Knows no files."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Pages(Protocol):
    """A run of pages as the store maps them; valid as long as the library is open, never written to."""

    @property
    def key(self) -> Tensor: ...  # [layers, pages, kv_heads, page_size, head_dim]

    @property
    def value(self) -> Tensor: ...  # like key

    @property
    def scales(self) -> tuple[Tensor, Tensor] | None: ...  # of int8 key and value, [layers, pages, kv_heads, page_size] each

    @property
    def num_tokens(self) -> int: ...
