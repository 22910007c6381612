"""The model's own tokenizer: by tiktoken where that gives the same ids several times faster, else by Hugging Face's.

Text of documents is encoded with control tokens off: `<|im_end|>` in a file stays text. A context is encoded in pieces, each as
it is in the whole: a tokenizer that puts a space before every text (SentencePiece) puts none before what continues another.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tscli.errors import TscliError
from tscli.tokens.byte_level import ByteLevel
from tscli.tokens.control import control_ids
from tscli.tokens.sentence_piece import begins_sections, continuing

SAMPLE = (
    "The quick brown fox can't jump over 12,345.678 lazy dogs; it's 3:45 pm.\n\n\tdef f(x_1, *args):\n"
    "        return x**2  # ok\r\nÅngström naïve café Žižek — “quotes” … Καλημέρα κόσμε, Привет, мир! こんにちは世界 你好 "
    "مرحبا שלום हिन्दी 한국어 😀👩‍💻🇪🇺\n   leading, trailing   \n\n\n\n http://example.org/a?b=c&d=%20 <|im_end|> </s> "
    "[INST] 1234567890 ABCdefGHI I'LL don'T\u00a0\u2028\x0b end  "
)
FEW = 1 << 14  # characters below which tiktoken is not worth making
MANY = 1 << 17  # characters from which other threads are worth their start
SLICE = 1 << 20  # characters that Hugging Face's tokenizer is given at once: it takes some hundred bytes for each


@dataclass(frozen=True)
class Encoded:
    """ids, char_start, char_end: int32 [n]; characters count within the text, end exclusive."""

    ids: np.ndarray
    char_start: np.ndarray
    char_end: np.ndarray


class Tokenizer:
    """Encodes documents and template text, decodes answers."""

    def __init__(self, fast: Any, chat: Any = None) -> None:
        fast.no_truncation()
        fast.no_padding()
        self._fast = fast  # tokenizers.Tokenizer, for what a context begins with
        self.chat = chat  # the transformers tokenizer, for its chat template and special tokens; None where nobody needs them
        serialised: str = fast.to_str()
        self.hash = hashlib.sha256(serialised.encode()).hexdigest()
        content = json.loads(serialised)
        self._control = control_ids(content, str(getattr(chat, "chat_template", None) or ""))
        self.vocab_size: int = fast.get_vocab_size(with_added_tokens=True)
        plain = continuing(content)
        self._behind = type(fast).from_str(json.dumps(plain)) if plain else fast  # for what follows other text
        self._begins_sections = begins_sections(content)
        self.added: dict[str, int] = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
        self._added_ids = frozenset(self.added.values())

    @cached_property
    def _byte_level(self) -> ByteLevel | None:
        """tiktoken, where it gives the same ids; made when much text is first encoded, for that takes longer than a question
        does to be encoded."""
        made = ByteLevel.of(json.loads(self._fast.to_str()))
        return made if made is not None and made.ids(SAMPLE) == self._encode_slowly([SAMPLE])[0].ids.tolist() else None

    @property
    def backend(self) -> str:
        """Of documents: "tiktoken" or "huggingface"."""
        return "huggingface" if self._byte_level is None else "tiktoken"

    @property
    def opening_ids(self) -> list[int]:
        """What the tokenizer itself puts before every text: BOS, or nothing."""
        return [index for index in self._fast.encode("").ids if index == self.chat.bos_token_id]

    def encode_text(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts that follow other text, as they are, in as many threads as pay; nothing in them is a control
        token, and none is added."""
        size = sum(map(len, texts))
        if size < FEW or self._byte_level is None:
            return self._encode_slowly(texts)
        if len(texts) < 2 or size < MANY:
            found = [self._byte_level.encode(text) for text in texts]
        else:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                found = list(threads.map(self._byte_level.encode, texts))
        rest = iter(self._encode_slowly([text for text, made in zip(texts, found, strict=True) if made is None]))
        return [next(rest) if made is None else Encoded(*made) for made in found]

    def encode_section(self, text: str, before: Sequence[int]) -> list[int]:
        """The ids of a text after these tokens, as `encode_text`: right after an added token it may begin with a space."""
        if not (self._begins_sections and before and before[-1] in self._added_ids):
            return self.encode_text([text])[0].ids.tolist()
        return self._without_control(text, self._encode_batch([text], self._fast)[0]).ids.tolist()

    def encode_template(self, text: str, *, continues: bool = False) -> list[int]:
        """Encode text of a chat template: special tokens in it count as such; none is added. continues: it follows other
        text, else it is what a context begins with."""
        self._fast.encode_special_tokens = False
        whole = self._fast.encode(text, add_special_tokens=False)
        ids: list[int] = whole.ids
        if not continues or self._behind is self._fast:
            return ids
        first = next((number for number, index in enumerate(ids) if index in self._added_ids), len(ids))
        lead = text if first == len(ids) else text[: whole.offsets[first][0]]
        return [*self._behind.encode(lead, add_special_tokens=False).ids, *ids[first:]]

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """Text of ids as it stands in the whole, a space before it too; special tokens are left out unless `special`; invalid
        UTF-8 becomes U+FFFD."""
        text: str = self._behind.decode(list(ids), skip_special_tokens=not special)
        return text

    def _encode_slowly(self, texts: Sequence[str]) -> list[Encoded]:
        slices = [_slices(text) for text in texts]
        made = iter(self._encode_batch([part for text, cuts in zip(texts, slices, strict=True) for part in _parts(text, cuts)]))
        return [
            _joined(cuts, [self._without_control(part, next(made)) for part in _parts(text, cuts)])
            for text, cuts in zip(texts, slices, strict=True)
        ]

    def _without_control(self, text: str, encoded: Encoded) -> Encoded:
        """What became a control token all the same is cut in two, and its halves are encoded by themselves."""
        found = np.flatnonzero(np.isin(encoded.ids, self._control))
        if not found.size:
            return encoded
        if len(text) < 2:  # a single character that is a control token: there is no other way to say it
            return Encoded(encoded.ids[:0], encoded.char_start[:0], encoded.char_end[:0])
        middles = (encoded.char_start[found] + encoded.char_end[found]) // 2
        cuts = [0, *np.unique(middles.clip(1, len(text) - 1)).tolist(), len(text)]
        parts = _parts(text, cuts)
        return _joined(cuts, [self._without_control(*part) for part in zip(parts, self._encode_batch(parts), strict=True)])

    def _encode_batch(self, texts: Sequence[str], by: Any = None) -> list[Encoded]:
        """By `_behind`, or another tokenizers.Tokenizer."""
        fast = by or self._behind
        fast.encode_special_tokens = True
        try:
            encoded = []
            for group in _groups(texts):
                for item in fast.encode_batch(group, add_special_tokens=False):
                    spans = np.array(item.offsets, dtype=np.int32).reshape(-1, 2)
                    encoded.append(Encoded(np.array(item.ids, dtype=np.int32), spans[:, 0].copy(), spans[:, 1].copy()))
        finally:
            fast.encode_special_tokens = False
        return encoded


def _slices(text: str) -> list[int]:
    """Where a text is cut: at its ends, and a huge one after the ends of lines, where there are any."""
    cuts = [0]
    while len(text) - cuts[-1] > SLICE:
        line = text.rfind("\n", cuts[-1], cuts[-1] + SLICE)
        cuts.append(line + 1 if line >= 0 else cuts[-1] + SLICE)
    return [*cuts, len(text)]


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in groups of about a slice's length."""
    group, size = list[str](), 0
    for text in texts:
        if group and size + len(text) > SLICE:
            yield group
            group, size = [], 0
        group.append(text)
        size += len(text)
    if group:
        yield group


def _parts(text: str, cuts: Sequence[int]) -> list[str]:
    return [text[start:end] for start, end in pairwise(cuts)]


def _joined(cuts: Sequence[int], parts: Sequence[Encoded]) -> Encoded:
    """The parts of one text in sequence; characters count from its beginning."""
    if len(parts) == 1:
        return parts[0]
    moved = [(part.ids, part.char_start + start, part.char_end + start) for start, part in zip(cuts, parts, strict=False)]
    return Encoded(*(np.concatenate(column).astype(np.int32) for column in zip(*moved, strict=True)))


class StreamDecoder:
    """Text of tokens as they come; never half a character, spaces as in the whole."""

    def __init__(self, tokenizer: Tokenizer, *, special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._special = special  # whether special tokens are shown
        self._ids: list[int] = []
        self._context = 0  # tokens before this one are settled; the next few give the decoder its left context
        self._done = 0

    def push(self, token_id: int) -> str:
        """The text that this token completes, perhaps none."""
        self._ids.append(token_id)
        before, text = self._decode(self._done), self._decode()
        if len(text) <= len(before) or text.endswith("\ufffd"):
            return ""
        self._context, self._done = self._done, len(self._ids)
        return text[len(before) :]

    def flush(self) -> str:
        """What is left at the end, an incomplete character as U+FFFD."""
        rest = self._decode()[len(self._decode(self._done)) :]
        self._context = self._done = len(self._ids)
        return rest

    def _decode(self, stop: int | None = None) -> str:
        return self._tokenizer.decode(self._ids[self._context : stop], special=self._special)


def load_tokenizer(folder: str) -> Tokenizer:
    """Load a model's tokenizer from its folder; TscliError when it has no fast tokenizer."""
    from transformers import AutoTokenizer

    try:
        chat = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise TscliError(f"{Path(folder).name}: no tokenizer could be loaded ({first}); choose another --model") from error
    fast = getattr(chat, "backend_tokenizer", None)
    if fast is None:
        raise TscliError(f"{Path(folder).name}: its tokenizer has no tokenizer.json, which tscli needs; choose another --model")
    return Tokenizer(fast, chat)


def known_tokenizer(folder: Path, tokenizer_hash: str) -> Tokenizer | None:
    """The tokenizer of this hash, straight from a folder's tokenizer.json; None where transformers makes another one of it."""
    from tokenizers import Tokenizer as Fast

    if not (folder / "tokenizer.json").is_file():
        return None
    found = Tokenizer(Fast.from_file(str(folder / "tokenizer.json")))
    return found if found.hash == tokenizer_hash else None
