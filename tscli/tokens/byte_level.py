"""Byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM2) through tiktoken, made from the model's own tokenizer.json, without downloads.

Knows one tokenizer.json; says None where tiktoken cannot express it exactly.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
import tiktoken

# The split that ByteLevel(use_regex=True) makes, by GPT-2's pattern.
GPT2_SPLIT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
# The split that Digits(individual_digits=True) makes before that one; spaces before a digit are then those at a text's end.
DIGITS_SPLIT = r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?[^\s\p{L}\p{N}]++|\s++(?=\p{N}|$)|\s+(?!\S)|\s"
# tiktoken's merging is quadratic in the length of one piece, so a run without a split is not given to it.
LONGEST_RUN = 20_000


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable character for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


def build_encoding(content: Mapping[str, Any]) -> tiktoken.Encoding | None:
    """A tiktoken Encoding of a tokenizer.json, None where it is of another kind.

    Bytes for which the model has no token (SmolLM2 has none for 21) get ids beyond `num_ids`: such text is not tiktoken's."""
    model, normalizer = content["model"], content.get("normalizer")
    pattern = _split_pattern(content.get("pre_tokenizer"))
    other_kind = model.get("type") != "BPE" or model.get("byte_fallback") or model.get("dropout")
    if other_kind or pattern is None or (normalizer and normalizer.get("type") != "NFC"):
        return None
    alphabet = byte_alphabet()
    try:
        ranks = _ranks(model, {entry["content"] for entry in content.get("added_tokens", [])}, alphabet)
        return tiktoken.Encoding("tscli", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    except (KeyError, ValueError):
        return None


def num_ids(model: Mapping[str, Any]) -> int:
    """One more than the highest id of the vocabulary of a tokenizer.json's model."""
    return 1 + max(model["vocab"].values())


def _ranks(model: dict[str, Any], added: set[str], alphabet: dict[str, int]) -> dict[bytes, int]:
    """tiktoken merges by rank and returns ranks as ids; so ids must rise in the order of the merges."""
    vocabulary = {token: index for token, index in model["vocab"].items() if token not in added}
    ranks = {bytes(alphabet[char] for char in token): index for token, index in vocabulary.items()}
    if len(ranks) != len(vocabulary):
        raise ValueError("two tokens have the same bytes")
    absent = [single for single in map(bytes, ([byte] for byte in range(256))) if single not in ranks]
    last = -1
    for merge in model["merges"]:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        index = vocabulary["".join(pair)]
        if index < last:
            raise ValueError("merges and ids are not in the same order")
        last = index
    first = num_ids(model)
    return ranks | {single: first + place for place, single in enumerate(absent)}


def _split_pattern(pre_tokenizer: dict[str, Any] | None) -> str | None:
    """The regular expression that cuts text before merging."""
    if pre_tokenizer is None:
        return None
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    *splits, last = steps
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if last.get("use_regex", True):
        digits = [{"type": "Digits", "individual_digits": True}]
        return DIGITS_SPLIT if splits == digits else None if splits else GPT2_SPLIT
    if len(splits) != 1 or splits[0].get("type") != "Split" or splits[0].get("behavior") != "Isolated":
        return None
    pattern = splits[0]["pattern"].get("Regex")
    return None if splits[0].get("invert") else pattern


class ByteLevel:
    """Encodes as a tokenizer.json does, several times faster."""

    def __init__(self, encoding: tiktoken.Encoding, count: int) -> None:
        """encoding, count: of `build_encoding` and `num_ids`."""
        self._encoding = encoding
        self._num_ids = count
        self._lengths = np.zeros(encoding.max_token_value + 1, dtype=np.int64)  # of each token, in bytes
        for token in encoding.token_byte_values():
            self._lengths[encoding.encode_single_token(token)] = len(token)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> ByteLevel | None:
        """For this tokenizer.json; None where tiktoken cannot express it."""
        encoding = build_encoding(content)
        return None if encoding is None else cls(encoding, num_ids(content["model"]))

    def ids(self, text: str) -> list[int]:
        """Of a text that `is_safe`."""
        return self._encoding.encode_ordinary(text)

    def encode(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """ids, and where their characters start and end, int32 [n] each; None for a text that only the tokenizer.json's own
        tokenizer encodes. In any thread: tiktoken lets the others run meanwhile."""
        if not is_safe(text):
            return None
        ids = np.array(self.ids(text), dtype=np.int32)
        if ids.size == 0:
            return ids, ids, ids
        if ids.max() >= self._num_ids:  # a byte for which the model has no token
            return None
        return (ids, *char_spans(self._lengths[ids], text))


def is_safe(text: str) -> bool:
    """Whether tiktoken gives the same ids in good time: already in NFC, and without endless runs."""
    if not unicodedata.is_normalized("NFC", text):
        return False
    return len(text) <= LONGEST_RUN or _longest_run(text) <= LONGEST_RUN


def _longest_run(text: str) -> int:
    """Length of the longest stretch of letters, digits or spaces alone, an upper bound on what one split can be."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    space = (codes == 32) | ((codes >= 9) & (codes <= 13))
    changes = np.flatnonzero(np.diff(space.astype(np.int8)))
    edges = np.concatenate([[-1], changes, [codes.shape[0] - 1]])
    return int(np.diff(edges).max())


def char_spans(lengths: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Character ranges of tokens from their lengths in bytes; tokens inside one character share its range.

    lengths: int [n], summing to the bytes of text. Returns char_start, char_end int32 [n], end exclusive.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    first_bytes = (data & 0xC0) != 0x80
    char_of_byte = np.cumsum(first_bytes) - 1
    return char_of_byte[starts].astype(np.int32), (char_of_byte[ends - 1] + 1).astype(np.int32)
