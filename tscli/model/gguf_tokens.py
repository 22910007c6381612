"""The tokenizer of a GGUF file as files in Hugging Face layout: built by transformers, mended where it does not know how text
is cut before merging, and compared with the vocabulary that the file lists. Knows no weights.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tscli.errors import TscliError
from tscli.model.gguf_header import WAY_OUT, GGUFHeader, read_header

TOKENS, KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id"}

# How text is cut before merging, by the name that llama.cpp gives it (tokenizer.ggml.pre), where transformers does not know the
# name. GPT-2's pattern is what it falls back to; here every digit stands alone before that pattern is applied, in one pattern.
DIGITS_APART = r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
SPLITS = dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), DIGITS_APART)
AS_GPT2 = ("gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling")
BYTE_LEVEL = "gpt2"  # tokenizer.ggml.model of a byte-level vocabulary


def save_tokenizer(header: GGUFHeader, into: Path) -> list[str]:
    """Write tokenizer.json, its configuration and the chat template; notes for users. TscliError where there is no tokenizer,
    or it comes out as another than the file's."""
    kind = header.metadata.get("tokenizer.ggml.model")
    if kind in (None, "none", "no_vocab") or not header.metadata.get(TOKENS):
        raise TscliError(f"{header.path}: has no tokenizer inside; {WAY_OUT}")
    listed = read_header(header.path, (TOKENS, KINDS)).metadata
    tokenizer = _build(header)
    notes = _cut_rightly(header, tokenizer)
    _compare(header, tokenizer, listed[TOKENS], listed.get(KINDS) or [NORMAL] * len(listed[TOKENS]))
    if not tokenizer.chat_template:
        notes.append("its GGUF file has no chat template")
    tokenizer.save_pretrained(into)
    return notes


def _build(header: GGUFHeader) -> Any:
    from transformers import PreTrainedTokenizerFast  # not AutoTokenizer, which first parses the file for a configuration
    from transformers.utils import logging as messages

    level = messages.get_verbosity()
    messages.set_verbosity(logging.CRITICAL)
    try:
        return PreTrainedTokenizerFast.from_pretrained(header.path.parent, gguf_file=header.path.name)
    except Exception as error:  # whatever a file makes of transformers' and tokenizers' code
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TscliError(f"{header.path}: its tokenizer cannot be read: {first.rstrip('.')}; {WAY_OUT}") from error
    finally:
        messages.set_verbosity(level)


def _cut_rightly(header: GGUFHeader, tokenizer: Any) -> list[str]:
    """Give a byte-level tokenizer the cuts that its file names; a note where nobody here knows them."""
    from tokenizers import Regex, pre_tokenizers

    named = str(header.metadata.get("tokenizer.ggml.pre", ""))
    if header.metadata["tokenizer.ggml.model"] != BYTE_LEVEL or named in AS_GPT2:
        return []
    backend = tokenizer.backend_tokenizer
    if named in SPLITS:
        split = pre_tokenizers.Split(Regex(SPLITS[named]), behavior="isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        return []
    if "Split" in str(backend.pre_tokenizer):
        return []
    return [
        f"how its tokenizer cuts text ({named or 'not said'}) is not known here: cut as GPT-2 does, which may cost accuracy"
    ]


def _compare(header: GGUFHeader, tokenizer: Any, tokens: list[str], kinds: list[int]) -> None:
    """Every token that text can become has the id of the file, control tokens are whole, and the ends are the file's."""
    from tscli.tokens.byte_level import byte_alphabet

    alphabet = set(byte_alphabet())
    byte_level = header.metadata["tokenizer.ggml.model"] == BYTE_LEVEL
    backend = tokenizer.backend_tokenizer
    for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        respelled = byte_level and not set(token) <= alphabet  # by transformers, into the alphabet of bytes
        found = str(backend.id_to_token(index))
        if kind in (NORMAL, CONTROL, USER_DEFINED) and not respelled and found != token and found != token.replace(" ", "▁"):
            raise _other(header, f"token {index} is {token!r} there and {found!r} here")
        if kind == CONTROL and not respelled and backend.encode(token, add_special_tokens=False).ids != [index]:
            raise _other(header, f"the control token {token!r} is not whole")
    for name, key in SPECIAL.items():
        wanted = header.metadata.get(f"tokenizer.ggml.{key}")
        if wanted is not None and getattr(tokenizer, f"{name}_id") != wanted:
            setattr(tokenizer, name, tokens[int(wanted)])


def _other(header: GGUFHeader, why: str) -> TscliError:
    return TscliError(f"{header.path}: its tokenizer does not come out as the file has it ({why}); {WAY_OUT}")
