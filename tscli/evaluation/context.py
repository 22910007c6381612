"""Token ids of a context for generated tasks: template, then prose with needles in it, or the pieces of a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tscli.errors import UsageError
from tscli.evaluation.tasks import Exam
from tscli.tokens import Template, Tokenizer

PARAGRAPH = 6  # sentences
BATCH = 256  # sentences that are tokenised together


def build(exam: Exam, tokenizer: Tokenizer, template: Template, sentences: Iterator[str], num_tokens: int) -> np.ndarray:
    """int64 [n], n at most num_tokens and, where prose fills the rest, within a sentence of it.

    Raises UsageError where the needles or the pieces alone need more.
    """
    room = num_tokens - len(template.prefix_ids)
    fixed = _encoded(tokenizer, [f" {needle.text}" for needle in exam.needles]) or _encoded(tokenizer, exam.pieces)
    needed = sum(map(len, fixed))
    if needed > room:
        raise UsageError(f"the tasks need {needed:,} tokens, the length leaves {room:,}; ask fewer questions or take it longer")
    if exam.pieces:
        return np.concatenate([np.array(template.prefix_ids, dtype=np.int64), *fixed])
    prose = _prose(tokenizer, sentences, room - needed)
    places = sorted(range(len(fixed)), key=lambda i: exam.needles[i].depth)
    parts: list[np.ndarray] = []
    start = 0
    for i in places:
        stop = round(exam.needles[i].depth * len(prose))
        parts += [*prose[start:stop], fixed[i]]
        start = stop
    return np.concatenate([np.array(template.prefix_ids, dtype=np.int64), *parts, *prose[start:]])


def _prose(tokenizer: Tokenizer, sentences: Iterator[str], num_tokens: int) -> list[np.ndarray]:
    """Sentences, one array each, of at most so many tokens together."""
    found: list[np.ndarray] = []
    left = num_tokens
    while True:
        texts = [next(sentences) for _ in range(BATCH)]
        marked = [("\n\n" if i % PARAGRAPH == 0 else " ") + text for i, text in enumerate(texts)]
        for ids in _encoded(tokenizer, marked):
            if len(ids) > left:
                return found
            found.append(ids)
            left -= len(ids)


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    return [encoded.ids.astype(np.int64) for encoded in tokenizer.encode_text(list(texts))] if texts else []
