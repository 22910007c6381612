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
    fixed = _fixed(exam, tokenizer, template, num_tokens)
    if exam.pieces:
        return np.concatenate([np.array(template.prefix_ids, dtype=np.int64), *fixed])
    prose = _prose(tokenizer, sentences, num_tokens - len(template.prefix_ids) - sum(map(len, fixed)))
    places = sorted(range(len(fixed)), key=lambda i: exam.needles[i].depth)
    parts: list[np.ndarray] = []
    start = 0
    for i in places:
        stop = round(exam.needles[i].depth * len(prose))
        parts += [*prose[start:stop], fixed[i]]
        start = stop
    return np.concatenate([np.array(template.prefix_ids, dtype=np.int64), *parts, *prose[start:]])


def check_fits(exam: Exam, tokenizer: Tokenizer, template: Template, num_tokens: int) -> None:
    """UsageError where `build` would raise one, before anything is read by a model."""
    _fixed(exam, tokenizer, template, num_tokens)


def _fixed(exam: Exam, tokenizer: Tokenizer, template: Template, num_tokens: int) -> list[np.ndarray]:
    """The needles, or the pieces: what must be in the context whole."""
    fixed = _encoded(tokenizer, [f" {needle.text}" for needle in exam.needles]) or _encoded(tokenizer, exam.pieces)
    needed = len(template.prefix_ids) + sum(map(len, fixed))
    if needed > num_tokens:
        names = ", ".join(dict.fromkeys(item.task for item in exam.items))
        raise UsageError(
            f"a context of {num_tokens:,} tokens is too short: {names} need {needed:,}; choose a longer one, or "
            "ask fewer questions"
        )
    return fixed


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
