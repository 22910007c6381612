"""Thoughts before an answer: by what a template marks them, and which of an answer's tokens they are.

Knows no model: the marks are those that the template itself puts around a thought, or names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tscli.tokens.rendering import Message, Renderer, UnusableTemplate, template_text

if TYPE_CHECKING:
    from tscli.tokens.tokenizer import Tokenizer

THOUGHT, ANSWER = "@@tscli-thought@@", "@@tscli-answer@@"
MARKUP = re.compile(r"<[^<>\s]+>")
MARK = re.compile(r"(?:<[^<>\s]+>|\[[^\[\]\s]+\])$")
NAMED = re.compile(r"(<\|?|\[)(/?)([\w:-]*(?:think|thought|reason)[\w:-]*)(\|?>|\])", re.IGNORECASE)
ENDS = {"START": "END", "BEGIN": "END", "start": "end", "begin": "end"}  # of marks that say which of the two they are

Marks = tuple[str, str]  # what opens a thought, what closes it
State = Literal["open", "thought", "answer"]


def find_marks(render: Renderer, asked: Sequence[Message], suffix: str, added: Iterable[str]) -> Marks | None:
    """By what thoughts are marked: as the template writes one, else by marks named so in it or among added tokens.

    asked: messages that end in a question. suffix: what opens an answer that may be thought out. None where there are no marks.
    """
    in_template = MARKUP.findall(template_text(render.chat) or "")  # "[thought]" there may be an index
    return _written(render, asked, suffix) or _named([suffix, *added, *in_template])


def _written(render: Renderer, asked: Sequence[Message], suffix: str) -> Marks | None:
    try:
        text = render([*asked, ("assistant", ANSWER)], prompt=False, think=True, thought=THOUGHT)
    except UnusableTemplate:
        return None
    before, found, rest = text.partition(THOUGHT)
    closing, answered, _ = rest.partition(ANSWER)
    if not found or not answered or not closing.strip():
        return None
    at = before.rfind(suffix.rstrip())
    opening = before[at + len(suffix.rstrip()) :].strip() if suffix.strip() and at >= 0 else ""
    if not opening and (mark := MARK.search(before.rstrip())):  # the template opens the thought where an answer begins
        opening = mark[0]
    return (opening, closing.strip()) if opening else None


def _named(texts: Iterable[str]) -> Marks | None:
    """The first mark whose name says that it is one, and its counterpart."""
    for left, slash, name, right in (found for text in texts for found in NAMED.findall(text)):
        opens, closes = name, f"/{name}"
        for begins, ends in ENDS.items():
            if not slash and (begins in name or ends in name):
                opens, closes = name.replace(ends, begins), name.replace(begins, ends)
        return f"{left}{opens}{right}", f"{left}{closes}{right}"
    return None


def without_thought(suffix: str, marks: Marks | None) -> str:
    """What opens an answer, without the thought that it opens, or opens and closes."""
    return suffix[: suffix.rfind(marks[0])] if marks and marks[0] in suffix else suffix


def leaves_open(suffix: str, marks: Marks | None) -> bool:
    """Whether an answer begins within a thought."""
    return marks is not None and suffix.rfind(marks[0]) > suffix.rfind(marks[1])


@dataclass(frozen=True)
class Settled:
    """Tokens of which it is known now whether they are of a thought; said: what they add to it."""

    ids: tuple[int, ...]
    thought: bool = False
    said: str = ""


class ThoughtSplitter:
    """Tells an answer's tokens from those of the thoughts before it, as they come.

    state: what comes next is of: an "answer", a "thought", or what the next tokens will tell ("open").
    """

    def __init__(self, tokenizer: Tokenizer, marks: Marks | None, *, within: bool = False) -> None:
        from tscli.tokens.tokenizer import StreamDecoder

        self.state: State = "answer" if marks is None else "thought" if within else "open"
        self._opening, self._closing = marks or ("", "")
        self._decoder = StreamDecoder(tokenizer, special=True)  # marks are special tokens in some models
        self._held: list[int] = []
        self._text = ""  # read, and neither said nor passed over yet

    def push(self, token_id: int) -> Settled:
        """What this token settles, perhaps nothing yet."""
        if self.state == "answer":
            return Settled((token_id,))
        self._held.append(token_id)
        self._text += self._decoder.push(token_id)
        if self.state == "open":
            text = self._text.lstrip()
            if not text.startswith(self._opening):
                return Settled(()) if self._opening.startswith(text) else self._release("answer")
            self.state, self._text = "thought", text[len(self._opening) :]
        said, closed, rest = self._text.partition(self._closing)
        if not closed:
            keep = _beginning_of(self._closing, self._text)
            said, rest = self._text[: len(self._text) - keep], self._text[len(self._text) - keep :]
        self._text = rest
        return self._release("open" if closed else "thought", thought=True, said=said)

    def flush(self) -> Settled:
        """What is settled by there being no more."""
        if self.state == "thought":
            return Settled((), True, self._text + self._decoder.flush())
        return self._release(self.state)

    def _release(self, state: State, *, thought: bool = False, said: str = "") -> Settled:
        ids, self._held, self.state = tuple(self._held), [], state
        return Settled(ids, thought, said)


def _beginning_of(mark: str, text: str) -> int:
    """How many of the last characters may be the beginning of the mark."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if mark.startswith(text[-size:])), 0)
