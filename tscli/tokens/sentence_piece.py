"""Tokenizers that put a space before every text (SentencePiece's way): the same one for text that follows other text.

Knows one tokenizer.json. A context is encoded in pieces; that space belongs to its very beginning only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def continuing(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tokenizer.json that puts no space before a text and takes none away in decoding; None where this one does not."""
    if not (_prepends(content.get("normalizer")) or _prepends(content.get("pre_tokenizer"))):
        return None
    return {**content, **{name: _plain(content.get(name)) for name in ("normalizer", "pre_tokenizer", "decoder")}}


def begins_sections(content: Mapping[str, Any]) -> bool:
    """Whether a space is put before the text after each added token too (as in Llama 2), not only before the whole."""
    steps = [*_steps(content.get("normalizer")), *_steps(content.get("pre_tokenizer"))]
    return any(_prepends(step) and step.get("prepend_scheme") != "first" for step in steps)


def _steps(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The parts of a sequence, or the one part there is."""
    if part is None:
        return []
    for name in ("normalizers", "pretokenizers", "decoders"):
        if name in part:
            return [step for inner in part[name] for step in _steps(inner)]
    return [part]


def _prepends(part: dict[str, Any] | None) -> bool:
    return any(
        step["type"] == "Prepend"
        or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        or (step["type"] == "ByteLevel" and step.get("add_prefix_space", False))
        for step in _steps(part)
    )


def _plain(part: dict[str, Any] | None) -> dict[str, Any] | None:
    """The part without what concerns the space before a text; None where nothing is left of it."""
    if part is None:
        return None
    for name in ("normalizers", "pretokenizers", "decoders"):
        if name in part:
            inner = [step for step in map(_plain, part[name]) if step is not None]
            return {**part, name: inner} if inner else None
    if part["type"] == "Prepend" or (part["type"] == "Strip" and part.get("content") == " " and part.get("start")):
        return None
    if part["type"] == "Metaspace":
        return {**part, "prepend_scheme": "never"}
    return {**part, "add_prefix_space": False} if part["type"] == "ByteLevel" else part
