"""The chat template, cut up: what stands before the documents, around the question, and between an answer and the next one.

Found by rendering the model's own template around markers, so nothing is known about any one template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tscli.tokens.tokenizer import Tokenizer

DOCUMENTS, QUESTION, ANSWER = "@@tscli-documents@@", "@@tscli-question@@", "@@tscli-answer@@"
NEXT_QUESTION = "@@tscli-next-question@@"
DEFAULT_MIDDLE, DEFAULT_SUFFIX = "\n\nQuestion: ", "\nAnswer:"


@dataclass(frozen=True)
class Template:
    """prefix + documents + middle + question + suffix; end_ids end an answer. source: "chat template" or "default".

    A conversation goes on: answer + turn + question + suffix. turn: None where the template has no further turns.
    """

    prefix: str
    middle: str
    suffix: str
    prefix_ids: tuple[int, ...]
    end_ids: frozenset[int]
    source: str
    turn: str | None = None

    def question_ids(self, tokenizer: Tokenizer, question: str, *, follow_up: bool = False) -> list[int]:
        """What is run per question: the template around it with its special tokens, the question itself as plain text.

        follow_up: it stands behind an answer instead of behind the documents; only where there is a `turn`.
        """
        before = (self.turn or "") if follow_up else self.middle
        asked = tokenizer.encode_text([question])[0].ids.tolist()
        return [*tokenizer.encode_template(before), *asked, *tokenizer.encode_template(self.suffix)]

    def record(self) -> dict[str, Any]:
        """The template as a library keeps it."""
        return {**asdict(self), "prefix_ids": list(self.prefix_ids), "end_ids": sorted(self.end_ids)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Template | None:
        """The template that a library keeps; None where it was written before all of it was kept."""
        if not {field.name for field in fields(cls)} <= set(record):
            return None
        values = {**record, "prefix_ids": tuple(record["prefix_ids"]), "end_ids": frozenset(record["end_ids"])}
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def load_template(tokenizer: Tokenizer) -> Template:
    """Split the chat template: documents in the system message, or where there is no such role, before the question."""
    chat = tokenizer.chat
    parts = _split(chat) if getattr(chat, "chat_template", None) else None
    prefix, middle, suffix, turn = parts or ("", DEFAULT_MIDDLE, DEFAULT_SUFFIX, DEFAULT_MIDDLE)
    prefix_ids = tokenizer.encode_template(prefix) if parts else tokenizer.opening_ids
    opening = tokenizer.encode_template(suffix)[-1:]  # what opens an answer does not end it
    source = "chat template" if parts else "default"
    return Template(prefix, middle, suffix, tuple(prefix_ids), frozenset(_end_ids(tokenizer, opening)), source, turn)


def _split(chat: Any) -> tuple[str, str, str, str | None] | None:
    system = [{"role": "system", "content": DOCUMENTS}, {"role": "user", "content": QUESTION}]
    user = [{"role": "user", "content": f"{DOCUMENTS}\n\n{QUESTION}"}]
    for messages in (system, user):
        text = _render(chat, messages, prompt=True)
        if text is not None and text.count(DOCUMENTS) == text.count(QUESTION) == 1:
            prefix, rest = text.split(DOCUMENTS)
            if QUESTION in rest:
                middle, suffix = rest.split(QUESTION)
                return prefix, middle, suffix, _turn(chat, messages, text, suffix)
    return None


def _turn(chat: Any, opening: list[dict[str, str]], first: str, suffix: str) -> str | None:
    """What stands between an answer and the next question.

    None where the template does not simply go on behind `first`, the text of the opening: where it has no turns, or writes
    the earlier ones anew. What the model has computed of them could not stay.
    """
    following = [{"role": "assistant", "content": ANSWER}, {"role": "user", "content": NEXT_QUESTION}]
    text = _render(chat, [*opening, *following], prompt=True)
    if text is None or not text.startswith(first):
        return None
    lead, _, rest = text[len(first) :].partition(ANSWER)
    turn, question, end = rest.partition(NEXT_QUESTION)
    if lead.strip() or not question or end != suffix:
        return None
    once_more = _render(chat, [*opening, *following, *following], prompt=True)
    return turn if once_more == f"{text}{lead}{ANSWER}{turn}{NEXT_QUESTION}{suffix}" else None


def _render(chat: Any, messages: list[dict[str, str]], *, prompt: bool) -> str | None:
    """The rendered template, None where the template refuses these messages."""
    from jinja2.exceptions import TemplateError

    try:
        return str(chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))
    except (TemplateError, TypeError, ValueError):
        return None


def _end_ids(tokenizer: Tokenizer, opening: list[int]) -> set[int]:
    """The tokenizer's and the generation configuration's end tokens, and the one that the template puts behind an answer."""
    chat = tokenizer.chat
    ids = {chat.eos_token_id} | _configured(Path(str(chat.name_or_path)))
    if getattr(chat, "chat_template", None):
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
        text = _render(chat, messages, prompt=False) or ""
        tail = tokenizer.encode_template(text.partition(ANSWER)[2]) if ANSWER in text else []
        special = {index for index, token in chat.added_tokens_decoder.items() if token.special}
        if tail and tail[0] in special and tail[:1] != opening:
            ids.add(tail[0])
    return {int(end) for end in ids if end is not None}


def _configured(folder: Path) -> set[int | None]:
    path = folder / "generation_config.json"
    if not path.is_file():
        return set()
    value = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
    return set(value) if isinstance(value, list) else {value}
