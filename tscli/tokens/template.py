"""The chat template in parts: before the documents, around the question, and between an answer and the next question.

Found by rendering the model's own template around markers, so nothing is known about any one template. An instruction of ours
stands before the documents, another one at the question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast, get_args

from tscli.errors import TscliError, UsageError
from tscli.tokens.ends import end_ids, template_end_ids
from tscli.tokens.prompt_layout import QUESTION, Placement, best_split, thinking_suffix, with_instruction
from tscli.tokens.rendering import Renderer, UnusableTemplate, template_text
from tscli.tokens.thoughts import Marks, ThoughtSplitter, leaves_open
from tscli.tokens.tokenizer import Tokenizer

SYSTEM = "Answer the question from the text below in a few words."
BESIDE = ""  # after the question, or around it where it holds "{question}"
PLACEMENT: Placement = "system"
LEAD = "According to the text,"  # what an answer begins with: it is put into the model's mouth and not shown

DEFAULT_MIDDLE, DEFAULT_SUFFIX = "\n\nQuestion: ", "\nAnswer:"


@dataclass(frozen=True)
class Prompt:
    """The tokens that are run for a question; [start, stop): those of the question itself; spoken: of a conversation before."""

    ids: tuple[int, ...]
    start: int
    stop: int
    spoken: int = 0

    def question(self, tokenizer: Tokenizer) -> str:
        """The question's own text."""
        return tokenizer.decode(self.ids[self.start : self.stop])

    def behind(self, ids: Sequence[int]) -> Prompt:
        """The same with other tokens before it."""
        size = len(ids)
        return Prompt((*ids, *self.ids), self.start + size, self.stop + size, self.spoken + size)


@dataclass(frozen=True)
class Template:
    """prefix + documents + middle + question + suffix; end_ids end an answer.

    source: "chat template", or "default" where the model's cannot be used, and reason says why. A conversation goes on:
    answer + turn + question + suffix. turn: None where the template has no further turns. system: the instruction before the
    documents; None in libraries of before there was one.
    marks: what opens and closes a thought. thinks: the suffix with which the model may think first, None where more than that
    would change. said: what stands between question and answer once there is a next question. lead: what the model's answer is
    made to begin with; it is not part of what is shown.
    """

    prefix: str
    middle: str
    suffix: str
    prefix_ids: tuple[int, ...]
    end_ids: frozenset[int]
    source: str
    turn: str | None = None
    system: str | None = None
    reason: str = ""
    marks: Marks | None = None
    thinks: str | None = None
    said: str | None = None
    lead: str = ""

    def question_ids(
        self, tokenizer: Tokenizer, question: str, *, follow_up: bool = False, answered: bool = False
    ) -> list[int]:
        """The tokens of `prompt`."""
        return list(self.prompt(tokenizer, question, follow_up=follow_up, answered=answered).ids)

    def prompt(self, tokenizer: Tokenizer, question: str, *, follow_up: bool = False, answered: bool = False) -> Prompt:
        """What is run per question: the template around it with its special tokens, the question itself as plain text.

        follow_up: it follows an answer instead of the documents; only where there is a `turn`. answered: its
        answer follows as one that was given before, without the thoughts that led to it.
        """
        before = (self.turn or "") if follow_up else self.middle
        lead = before.rstrip(" ")  # a space goes with the word after it, as in the whole
        ids = tokenizer.encode_template(lead, continues=True)
        start = len(ids)
        ids += tokenizer.encode_section(before[len(lead) :] + question, ids)
        after = self.suffix if not answered or self.said is None else self.said.rstrip(" ")
        behind = [] if answered else tokenizer.encode_text([self.lead])[0].ids.tolist() if self.lead else []
        return Prompt((*ids, *tokenizer.encode_template(after, continues=True), *behind), start, len(ids))

    def thinking(self) -> Template:
        """The same with which the model may think before it answers; UsageError where documents were not run after that."""
        if self.thinks is None:
            raise UsageError(
                "--think: this library was made without it, and its model is told before the documents whether it may think, "
                "or the library is older than this setting; leave it out, or rebuild an older library with tscli ingest"
            )
        return replace(self, suffix=self.thinks, lead="")

    def splitter(self, tokenizer: Tokenizer) -> ThoughtSplitter:
        """What tells an answer's tokens from those of thoughts before it."""
        return ThoughtSplitter(tokenizer, self.marks, within=leaves_open(self.suffix, self.marks))

    def record(self) -> dict[str, Any]:
        """The template as a library keeps it."""
        marks = None if self.marks is None else list(self.marks)
        return {**asdict(self), "prefix_ids": list(self.prefix_ids), "end_ids": sorted(self.end_ids), "marks": marks}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Template | None:
        """The template that a library keeps; None where it was written before all of it was kept."""
        needed = {field.name for field in fields(cls) if field.default is MISSING} | {"turn"}
        if not needed <= set(record):
            return None
        values = {field.name: record[field.name] for field in fields(cls) if field.name in record}
        marks = (str(values["marks"][0]), str(values["marks"][1])) if values.get("marks") else None
        ids = {"prefix_ids": tuple(values["prefix_ids"]), "end_ids": frozenset(values["end_ids"])}
        return cls(**{**values, **ids, "marks": marks})


def load_template(
    tokenizer: Tokenizer,
    system: str | None = None,
    beside: str | None = None,
    placement: Placement | None = None,
    lead: str | None = None,
) -> Template:
    """The model's chat template around documents and questions, or a plain one where there is none that can be used.

    system: the instruction before the documents. beside: the one at the question, after it or around its "{question}". Of
    both, the empty string leaves it out. placement: the message that documents stand in, "system" (after the instruction) or
    "user"; a template without a system message has them all before the question. lead: what an answer is made to begin with.
    None: what the model brings along under "prompt" in a file tscli.json next to its tokenizer, else SYSTEM, BESIDE, PLACEMENT,
    LEAD; a plain template has only instructions that are given.
    """
    given = {"system": system, "beside": beside, "placement": placement, "lead": lead}
    brought = _brought_along(tokenizer) | {name: value for name, value in given.items() if value is not None}
    wanted = {"system": SYSTEM, "beside": BESIDE, "placement": PLACEMENT, "lead": LEAD} | brought
    if wanted["placement"] not in get_args(Placement):
        raise UsageError(f"placement {wanted['placement']!r}: choose {' or '.join(get_args(Placement))}")
    try:
        found = _of_model(tokenizer, wanted["system"], wanted["beside"], cast(Placement, wanted["placement"]))
        return replace(found, lead=wanted["lead"])
    except UnusableTemplate as error:
        return _plain(tokenizer, brought.get("system", ""), brought.get("beside", ""), str(error))


def template_of(record: Mapping[str, Any], tokenizer: Tokenizer) -> Template:
    """The template of a library by its record; of one that keeps less, as it was made then: documents instead of the system
    message, and no instructions."""
    return Template.of_record(record) or load_template(tokenizer, "", "", "system", "")


def same_prompt(one: Mapping[str, Any], other: Mapping[str, Any], *names: str) -> bool:
    """Whether two records of templates say the same in these parts of the prompt."""
    return all(one.get(name) == other.get(name) for name in names)


def _brought_along(tokenizer: Tokenizer) -> dict[str, str]:
    path = Path(str(tokenizer.chat.name_or_path)) / "tscli.json"
    found = dict(json.loads(path.read_text(encoding="utf-8")).get("prompt", {})) if path.is_file() else {}
    if unknown := set(found) - {"system", "beside", "placement", "lead"}:
        raise TscliError(f"{path}: unknown settings of the prompt: {', '.join(sorted(unknown))}; correct it")
    return found


def _of_model(tokenizer: Tokenizer, system: str, beside: str, placement: Placement) -> Template:
    if template_text(tokenizer.chat) is None:
        raise UnusableTemplate("the model brings none along")
    split, marks, history = best_split(tokenizer, system, beside, placement)
    ends = end_ids(tokenizer) | template_end_ids(tokenizer, split.render, split.messages, split.suffix, marks)
    said, turn = history or (None, None)
    return Template(
        split.prefix,
        split.middle,
        split.suffix,
        tuple(tokenizer.encode_template(split.prefix)),
        frozenset(ends),
        "chat template",
        turn,
        system=system,
        marks=marks,
        thinks=thinking_suffix(split),
        said=said,
    )


def _plain(tokenizer: Tokenizer, system: str, beside: str, reason: str) -> Template:
    before, behind = with_instruction(QUESTION, beside).split(QUESTION)
    prefix = f"{system}\n\n" if system else ""
    middle, suffix = f"{DEFAULT_MIDDLE}{before}", f"{behind}{DEFAULT_SUFFIX}"
    prefix_ids = [*tokenizer.opening_ids, *tokenizer.encode_template(prefix)]
    ends = end_ids(tokenizer) | template_end_ids(tokenizer, Renderer(tokenizer.chat), [("user", QUESTION)], suffix, None)
    own: dict[str, Any] = {"system": system, "reason": reason, "thinks": suffix}
    return Template(prefix, middle, suffix, tuple(prefix_ids), frozenset(ends), "default", middle, **own)
