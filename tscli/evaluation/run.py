"""Generated tasks at given lengths, every method side by side: one prefill per context serves all its questions.

The cache lives in memory. Knows the model and the tasks; prints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from random import Random
from typing import cast

import torch

from tscli.engine.asker import Asker, QuestionMode
from tscli.engine.decode import Sampling
from tscli.engine.prefill import prefill_in_memory
from tscli.errors import UsageError
from tscli.evaluation import haystack, tasks
from tscli.evaluation.context import build
from tscli.evaluation.methods import Method, parse_methods
from tscli.model.load import Decoder, load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionOptions, resolve
from tscli.tokens import Template, Tokenizer, load_template, load_tokenizer

MAX_NEW_TOKENS = 48
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """One question of one context, answered by one method. score: 0 to 1."""

    task: str
    length: int
    depth: float | None
    method: str
    score: float
    question: str
    answer: str
    wanted: tuple[str, ...]


@dataclass(frozen=True)
class _Setting:
    decoder: Decoder
    tokenizer: Tokenizer
    template: Template
    methods: list[Method]


def evaluate_tasks(
    lengths: Sequence[int],
    names: Sequence[str] = tasks.TASKS,
    methods: Sequence[str] = ("dense", "streaming", "tokenselect"),
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    *,
    num_questions: int = 10,
    max_dense: int = 32768,
    haystack_folder: Path | None = None,
    seed: int = 1,
    on_step: OnStep | None = None,
) -> Iterator[Trial]:
    """Every question of every task at every length by every method, in the order of lengths and contexts.

    max_dense: longest context that dense is run on. UsageError for unknown names and for contexts that do not fit.
    """
    if unknown := [name for name in names if name not in tasks.TASKS]:
        raise UsageError(f"task {unknown[0]!r}: choose among {', '.join(tasks.TASKS)}")
    decoder = load_decoder(load)
    tokenizer = load_tokenizer(str(decoder.folder))
    base = resolve(selection, decoder.selection_defaults, decoder.window)
    chosen = parse_methods(methods, base, cast(QuestionMode, decoder.question_default), decoder.window)
    setting = _Setting(decoder, tokenizer, load_template(tokenizer), chosen)
    say = on_step or (lambda _: None)
    for length in lengths:
        for exam in _exams(setting, names, length, num_questions, Random(f"{seed} {length}")):
            sentences = haystack.of_folder(haystack_folder) if haystack_folder else haystack.invented(Random(seed))
            ids = torch.from_numpy(build(exam, tokenizer, setting.template, sentences, length))
            for group in _by_prefill([m for m in chosen if not (m.dense and length > max_dense)]):
                yield from _trials(setting, exam, ids, length, group, say)


def _exams(setting: _Setting, names: Sequence[str], length: int, count: int, rng: Random) -> Iterator[tasks.Exam]:
    """As few contexts as hold the needles of all tasks that hide them, and one for each of the other tasks."""
    hidden = [name for name in names if name in tasks.NEEDLE_TASKS]
    if hidden:
        yield from _sparse(setting, hidden, length, count, rng)
    makers: dict[str, Callable[[int], tasks.Exam]] = {
        "key-value": lambda size: tasks.key_value(rng, count, size),
        "common-words": lambda size: tasks.common_words(rng, size),
        "frequent-words": lambda size: tasks.frequent_words(rng, size),
    }
    for name, make in makers.items():
        if name in names:
            yield _fitting(setting, make, length - len(setting.template.prefix_ids))


def _sparse(setting: _Setting, names: list[str], length: int, count: int, rng: Random) -> Iterator[tasks.Exam]:
    """The tasks in one context; where needles would be more than a quarter of it, one half of them in a context each."""
    exam = tasks.needles(rng, names, count)
    texts = [needle.text for needle in exam.needles]
    if len(names) == 1 or 4 * sum(encoded.ids.shape[0] for encoded in setting.tokenizer.encode_text(texts)) <= length:
        yield exam
        return
    for half in (names[: len(names) // 2], names[len(names) // 2 :]):
        yield from _sparse(setting, half, length, count, rng)


def _fitting(setting: _Setting, make: Callable[[int], tasks.Exam], room: int) -> tasks.Exam:
    """The largest such context that fits, within some five percent."""
    size = room // 4
    while True:
        exam = make(size)
        needed = sum(encoded.ids.shape[0] for encoded in setting.tokenizer.encode_text(list(exam.pieces)))
        if needed <= room or size < 16:
            return exam
        size = int(size * min(0.95, 0.98 * room / needed))


def _by_prefill(methods: list[Method]) -> list[list[Method]]:
    ordered = sorted(methods, key=lambda method: str(method.prefill_key))
    return [list(group) for _, group in groupby(ordered, key=lambda method: str(method.prefill_key))]


def _trials(
    setting: _Setting, exam: tasks.Exam, ids: torch.Tensor, length: int, group: list[Method], say: OnStep
) -> Iterator[Trial]:
    """All questions of a context by the methods that share its prefill."""
    say(f"{length:,} tokens, {exam.items[0].task}{' and others' if len({i.task for i in exam.items}) > 1 else ''}: reading")
    started = time.perf_counter()
    state = prefill_in_memory(setting.decoder, ids, group[0].config, dense=group[0].dense)
    names = ", ".join(method.name for method in group)
    say(f"read in {time.perf_counter() - started:.1f} s; asking {len(exam.items)} questions by {names}")
    for method in group:
        asker = Asker(setting.decoder, state, method.config, method.question, setting.template.end_ids, method.dense)
        for item in exam.items:
            prompt = setting.template.question_ids(setting.tokenizer, item.question)
            answer = setting.tokenizer.decode(list(asker.answer(prompt, Sampling(), MAX_NEW_TOKENS))).strip()
            score = item.score(answer, item.wanted)
            yield Trial(item.task, length, item.depth, method.name, score, item.question, answer, item.wanted)
