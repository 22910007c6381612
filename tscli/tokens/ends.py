"""Which tokens end an answer: those that the model's files name, and the one that its template puts after an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tscli.tokens.rendering import Message, Renderer, UnusableTemplate
from tscli.tokens.thoughts import ANSWER, Marks
from tscli.tokens.tokenizer import Tokenizer

FILES = ("generation_config.json", "config.json")


def end_ids(tokenizer: Tokenizer) -> set[int]:
    """The end tokens of the tokenizer, of the generation's configuration and of the model's, also of its text part."""
    ids = {tokenizer.chat.eos_token_id}
    for name in FILES:
        path = Path(str(tokenizer.chat.name_or_path)) / name
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for part in (found, found.get("text_config") or {}):
            value = part.get("eos_token_id")
            ids |= set(value) if isinstance(value, list) else {value}
    return {int(end) for end in ids if end is not None}


def template_end_ids(
    tokenizer: Tokenizer, render: Renderer, asked: Sequence[Message], suffix: str, marks: Marks | None
) -> set[int]:
    """The first added token that the template puts after an answer, wherever in it; none where that opens an answer.

    asked: messages that end in a question. suffix: what the template opens an answer with. An end of several tokens of plain
    text ends nothing by itself: the model's own end token follows it.
    """
    try:
        _, answered, tail = render([*asked, ("assistant", ANSWER)], prompt=False).partition(ANSWER)
    except UnusableTemplate:
        return set()
    if not answered or suffix.strip().endswith(tail.strip()):  # what opens an answer follows one all the same
        return set()
    added = set(tokenizer.added.values())
    ends = [index for index in tokenizer.encode_template(tail, continues=True) if index in added]
    spoken = {tokenizer.added.get(mark) for mark in marks or ()}
    return set(ends[:1]) - spoken
