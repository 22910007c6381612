"""A model's chat template, rendered: messages in, text out. Knows the ways that templates want messages and a date.

Nothing is known about any one template; a way that fails says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

# What is said to a template that asks for today's date: the one that Llama 3's falls back to where it has no clock. Were it the
# real one, the same documents would give other keys tomorrow, and libraries of different days could not be joined.
FIXED_DATE = datetime(2024, 7, 26)
DIRECTIVES = "aAbBcdefFDgGhHIjklmMnpPrRsStTuUVwWxXyYzZ"
FAILURES = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError, RecursionError)

Form = Literal["text", "parts", "mixed"]  # content as a string; as a list of parts; a string in the system message only
FORMS: tuple[Form, ...] = ("text", "parts", "mixed")
Message = tuple[str, str]  # role, content


@dataclass(frozen=True)
class Renderer:
    """A chat template by a transformers tokenizer, and the form in which it is given what messages say."""

    chat: Any
    form: Form = "text"

    def __call__(self, messages: Sequence[Message], *, prompt: bool = True, think: bool = False, thought: str = "") -> str:
        """The rendered messages, with what opens an answer where `prompt`; UnusableTemplate where the template refuses them.

        think: whether the model may think before it answers, where the template has a switch for that. thought: what the last
        message's answer was thought out by.
        """
        from jinja2.exceptions import TemplateError

        made = [{"role": role, "content": self._content(role, text)} for role, text in messages]
        if thought:
            made[-1]["reasoning_content"] = thought
        # Names of the switch that are around; a template does not mind those that it does not read.
        switches = {"enable_thinking": think, "thinking": think}
        try:
            text = self.chat.apply_chat_template(
                made, chat_template=_dated(self.chat), tokenize=False, add_generation_prompt=prompt, **switches
            )
        except (TemplateError, *FAILURES) as error:
            raise UnusableTemplate(str(error).strip().split("\n")[0] or type(error).__name__) from error
        return str(text)

    def _content(self, role: str, text: str) -> str | list[dict[str, str]]:
        if self.form == "text" or (self.form == "mixed" and role == "system"):
            return text
        return [{"type": "text", "text": text}]


class UnusableTemplate(Exception):
    """Why a template cannot be used for these messages, on one line."""


def template_text(chat: Any) -> str | None:
    """The template that a tokenizer uses by itself; None where it has none."""
    found = getattr(chat, "chat_template", None)
    if isinstance(found, dict):
        found = found.get("default")
    return str(found) if found else None


def _dated(chat: Any) -> str | None:
    """The template with its clock stopped; None, which is the template as it is, where it does not ask for the time."""
    text = template_text(chat)
    if text is None or "strftime_now" not in text:
        return text
    replaced = "".join(f"|replace('%-{d}', {_said(d).lstrip('0')!r})|replace('%{d}', {_said(d)!r})" for d in DIRECTIVES)
    return "{% macro strftime_now(format) %}{{ format" + replaced + " }}{% endmacro %}\n" + text


def _said(directive: str) -> str:
    return FIXED_DATE.strftime(f"%{directive}")
