"""Thoughts are told from answers by the marks of the model's own template, whatever tokens these are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tokens.kinds import CHATML, QWEN3, save
from tscli.errors import UsageError
from tscli.tokens import Template, ThoughtSplitter, Tokenizer, load_template, load_tokenizer

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
OPENS = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
CHANNELS = (  # as gpt-oss's
    "{% for m in messages %}<|start|>{{ m.role }}{% if m.thinking %}<|channel|>analysis<|message|>{{ m.thinking }}<|end|>"
    "<|start|>assistant{% endif %}{% if m.role == 'assistant' %}<|channel|>final{% endif %}"
    "<|message|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
SAYS_SO_FIRST = "{{ '/think' if enable_thinking else '/no_think' }}" + CHATML


def load(folder: Path, text: str, special: list[str]) -> tuple[Tokenizer, Template]:
    tokenizer = load_tokenizer(str(save(folder, "qwen", text, special, special[1])))
    return tokenizer, load_template(tokenizer, "Read.", "")


def split(tokenizer: Tokenizer, splitter: ThoughtSplitter, text: str) -> tuple[str, str]:
    """The thought that was said piece by piece, and the answer."""
    said, ids, total = "", list[int](), tokenizer.encode_template(text, continues=True)
    for settled in [*map(splitter.push, total), splitter.flush()]:
        said += settled.said
        ids += [] if settled.thought else settled.ids
    return said, tokenizer.decode(ids)


@pytest.mark.parametrize("special", [SPECIAL, [*SPECIAL, "<think>", "</think>"]])
def test_a_model_that_can_think_does_not_unless_it_may(tmp_path: Path, special: list[str]) -> None:
    tokenizer, template = load(tmp_path, QWEN3, special)
    assert template.marks == ("<think>", "</think>")
    assert template.suffix == "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert template.thinking().suffix == "<|im_end|>\n<|im_start|>assistant\n"
    assert template.thinking().prefix_ids == template.prefix_ids
    assert template.turn == "<|im_end|>\n<|im_start|>user\n"  # what was thought stands in no conversation
    history = template.question_ids(tokenizer, "Why?", answered=True)
    assert history == tokenizer.encode_template("\n\nWhy?<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("special", [SPECIAL, [*SPECIAL, "<think>", "</think>"]])
@pytest.mark.parametrize("think", [False, True])
def test_thoughts_and_answer_are_told_apart(tmp_path: Path, special: list[str], think: bool) -> None:
    tokenizer, template = load(tmp_path, QWEN3, special)
    template = template.thinking() if think else template
    for text, thought, answer in (
        ("<think>\nthe café < it\n</think>\n\nthe end", "\nthe café < it\n", "\n\nthe end"),
        ("the end <think> of it", "", "the end <think> of it"),
        ("<th end", "", "<th end"),
        ("<thi", "", "<thi"),
        ("\n<think>it</think><think>too</think> the end", "ittoo", " the end"),
        ("<think>on and </thi", "on and </thi", ""),
        ("", "", ""),
    ):
        hidden = answer.replace("<think>", "") if len(special) > 3 else answer  # a special token is not shown
        assert split(tokenizer, template.splitter(tokenizer), text) == (thought, hidden)


def test_a_template_may_open_the_thought_itself(tmp_path: Path) -> None:
    tokenizer, template = load(tmp_path, OPENS, SPECIAL)
    assert template.marks == ("<think>", "</think>")
    assert split(tokenizer, template.splitter(tokenizer), "the end of\n</think>\n\n1234") == ("the end of\n", "\n\n1234")
    assert template.turn is not None
    assert template.said == "<|im_end|>\n<|im_start|>assistant\n"


def test_marks_may_be_several_tokens_that_are_not_shown(tmp_path: Path) -> None:
    special = ["<|start|>", "<|end|>", "<|channel|>", "<|message|>"]
    tokenizer, template = load(tmp_path, CHANNELS, special)
    assert template.marks == ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")
    text = "<|channel|>analysis<|message|>the end<|end|><|start|>assistant<|channel|>final<|message|>1234"
    assert split(tokenizer, template.splitter(tokenizer), text) == ("the end", "1234")


@pytest.mark.parametrize(
    ("special", "marks"),
    [
        ([*SPECIAL, "[THINK]", "[/THINK]"], ("[THINK]", "[/THINK]")),
        ([*SPECIAL, "<|START_THINKING|>", "<|END_THINKING|>"], ("<|START_THINKING|>", "<|END_THINKING|>")),
        ([*SPECIAL, "<|end_of_thought|>", "<|begin_of_thought|>"], ("<|begin_of_thought|>", "<|end_of_thought|>")),
        (SPECIAL, None),
    ],
)
def test_marks_that_no_template_writes_are_found_among_the_added_tokens(
    tmp_path: Path, special: list[str], marks: tuple[str, str] | None
) -> None:
    assert load(tmp_path, CHATML, special)[1].marks == marks


def test_a_model_that_is_told_before_the_documents_cannot_be_told_otherwise_behind_them(tmp_path: Path) -> None:
    _, template = load(tmp_path, SAYS_SO_FIRST, SPECIAL)
    assert template.prefix.startswith("/no_think")
    with pytest.raises(UsageError, match="before the documents"):
        template.thinking()
