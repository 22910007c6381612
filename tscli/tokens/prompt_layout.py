"""How a chat template lays out documents and questions, found by rendering it around markers: nothing is known of any one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tscli.tokens.rendering import FORMS, Message, Renderer, UnusableTemplate
from tscli.tokens.thoughts import ANSWER, Marks, find_marks, without_thought
from tscli.tokens.tokenizer import Tokenizer

Placement = Literal["system", "user"]  # the message that the documents stand in; the other instruction stays where it is
DOCUMENTS, QUESTION, NEXT_QUESTION = "@@tscli-documents@@", "@@tscli-question@@", "@@tscli-next-question@@"


@dataclass(frozen=True)
class Split:
    """A rendered opening: messages, and what stands before the documents, between them and the question, and after it."""

    render: Renderer
    messages: tuple[Message, ...]
    prefix: str
    middle: str
    suffix: str

    @property
    def asked(self) -> str:
        """The rendered text up to the question's end."""
        return f"{self.prefix}{DOCUMENTS}{self.middle}{QUESTION}"


def best_split(
    tokenizer: Tokenizer, system: str, beside: str, placement: Placement
) -> tuple[Split, Marks | None, tuple[str, str] | None]:
    """The first way to lay out the opening that a conversation goes on after, else the first; with its marks and history.

    A template may take a system message and move it once there is a next question.
    """
    first = None
    for split in _splits(tokenizer.chat, system, beside, placement):
        thinking = thinking_suffix(split)
        marks = find_marks(split.render, split.messages, thinking or split.suffix, tokenizer.added)
        found = split, marks, _history(split, marks, beside)
        if found[2] is not None:
            return found
        first = first or found
    assert first is not None
    return first


def _splits(chat: Any, system: str, beside: str, placement: Placement) -> Iterator[Split]:
    """The ways to lay out the opening that the template renders whole; UnusableTemplate (the last reason) where none is."""
    reason, found = "", False
    for messages in _openings(system, beside, placement):
        for form in FORMS:
            render = Renderer(chat, form)
            try:
                split = _cut(render, messages, render(messages), system)
                failure = "it leaves out, alters or repeats what it is given"
            except UnusableTemplate as error:
                split, failure = None, str(error)
            if form == "text":  # the others are for templates that want them
                reason = failure
            if split is not None:
                found = True
                yield split
                break
    if not found:
        raise UnusableTemplate(reason)


def _openings(system: str, beside: str, placement: Placement) -> Iterator[tuple[Message, ...]]:
    question = with_instruction(QUESTION, beside)
    behind = f"{system}\n\n{DOCUMENTS}" if system else DOCUMENTS
    if placement == "system":
        yield ("system", behind), ("user", question)
    elif system:
        yield ("system", system), ("user", f"{DOCUMENTS}\n\n{question}")
    yield (("user", f"{behind}\n\n{question}"),)


def with_instruction(question: str, beside: str) -> str:
    """A question with the instruction at it."""
    return beside.replace("{question}", question, 1) if "{question}" in beside else f"{question}\n{beside}".rstrip("\n")


def _cut(render: Renderer, messages: tuple[Message, ...], text: str, system: str) -> Split | None:
    """None where the text does not hold documents, question and instruction once each, in this order, as they were given."""
    if text.count(DOCUMENTS) != 1 or text.count(QUESTION) != 1 or "'type': 'text'" in text:
        return None
    prefix, rest = text.split(DOCUMENTS)
    middle, found, suffix = rest.partition(QUESTION)
    return Split(render, messages, prefix, middle, suffix) if found and system.strip() in prefix else None


def thinking_suffix(split: Split) -> str | None:
    """The suffix with which the model may think; None where more than that changes."""
    try:
        text = split.render(split.messages, think=True)
    except UnusableTemplate:
        return None
    return text[len(split.asked) :] if text.startswith(split.asked) else None


def _history(split: Split, marks: Marks | None, beside: str) -> tuple[str, str] | None:
    """What stands between a question and its answer, and between that and the next question, once there is one.

    None where the template does not simply go on after the opening: where it has no turns, or writes the earlier ones anew.
    What the model has computed of them could not stay. Thoughts may go: they are left out of a conversation.
    """
    following = ("assistant", ANSWER), ("user", with_instruction(NEXT_QUESTION, beside))
    try:
        text = split.render([*split.messages, *following])
        once_more = split.render([*split.messages, *following, *following])
    except UnusableTemplate:
        return None
    said, answered, rest = text[len(split.asked) :].partition(ANSWER)
    turn, found, end = rest.partition(NEXT_QUESTION)
    expected = {split.suffix.strip(), without_thought(split.suffix, marks).strip()}
    if not (text.startswith(split.asked) and answered and found) or end != split.suffix or said.strip() not in expected:
        return None
    again = f"{said}{ANSWER}{turn}{NEXT_QUESTION}"
    return (said, turn) if once_more == f"{split.asked}{again}{again}{split.suffix}" else None
