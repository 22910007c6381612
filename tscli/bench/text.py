"""The text that is measured: the user's file, or prose that comes with tscli, repeated until it is long enough.

Documents of a library are read each by itself, so that a repeated one has the very keys of the first: what took long to read
once need not be read again to fill a depth. Knows tokens; runs nothing.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from itertools import accumulate, cycle, islice
from pathlib import Path

import torch
from torch import Tensor

from tscli.errors import UsageError
from tscli.tokens import Context, SourceText, Template, Tokenizer, build_context
from tscli.tokens.sentences import sentence_spans

DOCUMENT_CHARS = 6_000  # some 1,400 tokens
# One for each repetition in turn; each is asked at least once, for how long one takes says little of another.
QUESTIONS = (
    "Who keeps the key of the old lighthouse, and where is it kept?",
    "What is the oldest building that is described, and who built it?",
    "How much does it cost?",
    "Why did the people who lived near the river leave their houses in the spring, and when did they come back?",
    "Which animals are named?",
)


class MeasuredText:
    """A text as tokens, and as documents of a library."""

    def __init__(self, tokenizer: Tokenizer, template: Template, text: str) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._parts = _documents(text)
        self._encoded = [encoded.ids for encoded in tokenizer.encode_text(self._parts)]

    def ids(self, length: int) -> Tensor:
        """So many of its tokens, from the start again behind the last: int64 [length]."""
        parts, have = list[Tensor](), 0
        for part in cycle(self._encoded):
            if have >= length:
                break
            parts.append(torch.from_numpy(part.astype("int64")))
            have += part.shape[0]
        return torch.cat(parts)[:length]

    def context(self, length: int) -> tuple[Context, int]:
        """Its documents, as many times as give about `length` tokens, and how many of these are not yet repeated."""
        sources = [SourceText(f"part {n}", str(n), (part,), False, f"part {n}") for n, part in enumerate(self._parts, start=1)]
        once = build_context(self.tokenizer, self.template, sources)
        sizes = [document.token_end - document.token_start for document in once.documents]
        prefix = len(self.template.prefix_ids)
        wanted = max(1, round((length - prefix) / (sum(sizes) / len(sizes))))
        if sum(sizes) > length:
            wanted = max(1, sum(1 for end in accumulate(sizes) if end <= length))
        number = min(wanted, len(sources))
        repeated = [replace(source, path=f"{source.path} ({n})") for n, source in enumerate(islice(cycle(sources), wanted))]
        return build_context(self.tokenizer, self.template, repeated, reuse=once, max_tokens=2 * length + sum(sizes)), number


def read_text(file: Path | None) -> str:
    """A text file's text, or the prose that comes along; UsageError where it cannot be read or says nothing."""
    if file is None:
        return resources.files("tscli.answer.calibration").joinpath("prose.txt").read_text(encoding="utf-8")
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"--text {file}: {error.strerror or error}; give a text file") from error
    if not text.strip():
        raise UsageError(f"--text {file}: it is empty; give a text file")
    return text


def _documents(text: str) -> list[str]:
    """The text in documents of about DOCUMENT_CHARS, cut between sentences."""
    found, start = [], 0
    for begin, end in sentence_spans(text):
        if end - start > DOCUMENT_CHARS and begin > start:
            found.append(text[start:begin])
            start = begin
    return [part for part in (*found, text[start:]) if part.strip()]
