"""Generated tasks at given lengths, every method side by side: one prefill per context serves all its questions.

The cache lives in memory. Knows the model and the tasks; prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from random import Random

import numpy as np
import torch

from tscli.answer.calibration.store import choose_retrieval_heads
from tscli.answer.engine import Engine, Request, Strategy
from tscli.answer.passages import PassageFinder
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.answer.token_select_strategy import TokenSelectStrategy, checked_mode
from tscli.errors import UsageError
from tscli.evaluation import haystack, tasks
from tscli.evaluation.context import build, check_fits
from tscli.evaluation.fidelity import fidelity as measure
from tscli.evaluation.journal import Journal
from tscli.evaluation.methods import Method, parse_methods
from tscli.evaluation.questions import THOUGHT_TOKENS
from tscli.evaluation.trial import Trial
from tscli.ingest.prefill import prefill_in_memory
from tscli.ingest.sections import section_starts
from tscli.ingest.sketching import passages_as_questions
from tscli.library.dense_prefill import prefill_documents
from tscli.library.kv_dtype import KVDtype, pages_kv_dtype
from tscli.library.own_settings import choose_kv_dtype
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionOptions, resolve
from tscli.tokens import Context, DocumentTokens, Prompt, Template, Tokenizer, load_template, load_tokenizer

QUESTION_UNITS = 1_000  # a question counts in the progress as so many tokens of a context that is read
OnProgress = Callable[[str, int, int], None]  # what is done now; units done, units in all


@dataclass(frozen=True)
class _Setting:
    decoder: Decoder
    tokenizer: Tokenizer
    template: Template
    methods: list[Method]
    max_dense: int
    fidelity: int
    more_new_tokens: int


@dataclass(frozen=True)
class _Reading:
    """A context as one prefill reads it, and the methods that share that."""

    exam: tasks.Exam
    length: int
    methods: list[Method]

    @property
    def num_questions(self) -> int:
        return len(self.methods) * len(self.exam.items)

    @property
    def units(self) -> int:
        return self.length + QUESTION_UNITS * self.num_questions


def evaluate_tasks(
    lengths: Sequence[int],
    names: Sequence[str] = tasks.TASKS,
    methods: Sequence[str] = ("dense", "streaming", "tokenselect"),
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    *,
    num_questions: int = 10,
    max_dense: int = 32768,
    fidelity: int = 0,
    haystack_folder: Path | None = None,
    question: str | None = None,
    kv_dtype: KVDtype = "auto",
    think: bool = False,
    seed: int = 1,
    resume: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Trial]:
    """Every question of every task at every length by every method, in the order of lengths and contexts.

    max_dense: longest context that dense is run on. fidelity: questions per context and method whose steps are compared with
    the exact and the dense ones. question: how questions are run, None: as the model asks for. kv_dtype: of the pages, also of
    those that dense is run on. think: let the model think before it answers, which is not scored. resume: a file of answers;
    those that it holds are not asked again.
    UsageError for unknown names, for contexts that do not fit, and for a file made with other settings.
    """
    if unknown := [name for name in names if name not in tasks.TASKS]:
        raise UsageError(f"task {unknown[0]!r}: choose among {', '.join(tasks.TASKS)}")
    pages = choose_kv_dtype(kv_dtype, "", None)
    decoder = load_decoder(load, on_progress, lasting=True)
    tokenizer = load_tokenizer(str(decoder.folder))
    base = resolve(selection, decoder.selection_defaults, decoder.window)
    kept = pages_kv_dtype(pages, decoder.dtype_name)
    mode = checked_mode(question or decoder.question_default)
    chosen = parse_methods(methods, base, mode, decoder.window)
    template, more = load_template(tokenizer), 0
    if think:
        template, more = template.thinking(), THOUGHT_TOKENS
    setting = _Setting(decoder, tokenizer, template, chosen, max_dense, fidelity, more)
    settings = {
        "model": decoder.hash,
        "tokenizer": tokenizer.hash,
        "dtype": str(decoder.dtype),
        **({"kv_dtype": kept} if kept else {}),
        **({"think": True} if think else {}),
        **vars(base),
        "question": mode,
        "tasks": list(names),
        "per_task": num_questions,
        "fidelity": fidelity,
        "haystack": str(haystack_folder),
        "seed": seed,
    }
    journal = Journal(resume, settings, Trial) if resume else None
    readings = [
        _Reading(exam, length, group)
        for length in lengths
        for exam in _exams(setting, names, length, num_questions, Random(f"{seed} {length}"))
        for group in _by_prefill([m for m in chosen if not (m.dense and length > max_dense)])
    ]
    for reading in readings:
        check_fits(reading.exam, tokenizer, setting.template, reading.length)
    say, done, total = on_progress or (lambda *_: None), 0, sum(reading.units for reading in readings)
    for reading in readings:
        known = _known(reading, journal)
        if len(known) == reading.num_questions:
            yield from known.values()
        else:
            sentences = haystack.of_folder(haystack_folder) if haystack_folder else haystack.invented(Random(seed))
            ids = torch.from_numpy(build(reading.exam, tokenizer, setting.template, sentences, reading.length))
            say(f"{_title(reading)}: reading", done, total)
            state = _prefilled(setting, reading.methods[0], ids, kept)
            for number, trial in enumerate(_trials(setting, reading, state, known, ids)):
                if journal is not None and trial.key not in known:
                    journal.add(trial)
                yield trial
                say(f"{_title(reading)}: {trial.method}", done + reading.length + QUESTION_UNITS * (number + 1), total)
        done += reading.units
        say(_title(reading), done, total)


def _prefilled(setting: _Setting, method: Method, ids: torch.Tensor, kv_dtype: str | None) -> KVState:
    """A context as this method, and those that share its prefill, have it read."""
    decoder = setting.decoder
    if method.retrieval_heads:
        return prefill_documents(decoder, ids.numpy(), section_starts(_context(setting, ids), decoder.window))
    prompts = passages_as_questions(ids, setting.tokenizer, setting.template)
    return prefill_in_memory(decoder, ids, method.config, dense=method.dense, prompts=prompts, kv_dtype=kv_dtype)


def _title(reading: _Reading) -> str:
    names = list(dict.fromkeys(item.task for item in reading.exam.items))
    return f"{reading.length:,} tokens, {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"


def _known(reading: _Reading, journal: Journal[Trial] | None) -> dict[tuple[int, str, str, str], Trial]:
    """The trials of this reading that the journal holds, in their order."""
    kept = journal.entries if journal else {}
    keys = [(reading.length, m.name, item.task, item.question) for m in reading.methods for item in reading.exam.items]
    return {key: kept[key] for key in keys if key in kept}


def _trials(
    setting: _Setting,
    reading: _Reading,
    state: KVState,
    known: Mapping[tuple[int, str, str, str], Trial],
    token_ids: torch.Tensor,
) -> Iterator[Trial]:
    """All questions of a context by the methods that share its prefill."""
    end_ids, step = setting.template.end_ids, max(1, len(reading.exam.items) // max(1, setting.fidelity))
    dense: TokenSelectStrategy | None = None
    for method in reading.methods:
        strategy = _strategy(setting, method, state, token_ids)
        for number, item in enumerate(reading.exam.items):
            if trial := known.get((reading.length, method.name, item.task, item.question)):
                yield trial
                continue
            prompt = setting.template.prompt(setting.tokenizer, item.question)
            ids = _answer(strategy, prompt, item.max_new_tokens + setting.more_new_tokens)
            answer = setting.tokenizer.decode(_without_thoughts(setting, ids)).strip()
            measured = None
            if setting.fidelity and number % step == 0 and isinstance(strategy, TokenSelectStrategy) and not method.dense:
                if dense is None and reading.length <= setting.max_dense:
                    dense = TokenSelectStrategy(setting.decoder, state, method.config, "token", end_ids, dense=True)
                measured = measure(strategy, dense, prompt, ids)
            score = item.score(answer, item.wanted)
            yield Trial(item.task, reading.length, item.depth, method.name, score, item.question, answer, item.wanted, measured)


def _strategy(
    setting: _Setting, method: Method, state: KVState, token_ids: torch.Tensor
) -> TokenSelectStrategy | RetrievalStrategy:
    end_ids = setting.template.end_ids
    if not method.retrieval_heads:
        return TokenSelectStrategy(setting.decoder, state, method.config, method.question, end_ids, method.dense)
    retrieval_heads = choose_retrieval_heads("calibrated", setting.decoder, setting.tokenizer, setting.template)
    assert retrieval_heads is not None
    finder = PassageFinder(_context(setting, token_ids), setting.tokenizer)
    return RetrievalStrategy(setting.decoder, state, retrieval_heads, finder, end_ids, refuses=False)


def _context(setting: _Setting, token_ids: torch.Tensor) -> Context:
    """The context as one document of one page."""
    start, ids = len(setting.template.prefix_ids), token_ids.numpy().astype(np.int32)
    document, blank = np.zeros_like(ids), np.zeros_like(ids)
    document[:start] = -1
    whole = DocumentTokens("context", "context", "", 1, False, start, ids.shape[0])
    return Context(ids, document, document + 1, blank, blank, (whole,))


def _answer(strategy: Strategy, prompt: Prompt, max_new_tokens: int) -> list[int]:
    """The greedy answer to a prompt over the context, as token ids without the end token: the one place where it is made."""
    return list(Engine(strategy.decoder).answer(Request(strategy, prompt, max_new_tokens)))


def _without_thoughts(setting: _Setting, ids: list[int]) -> list[int]:
    splitter = setting.template.splitter(setting.tokenizer)
    settled = [*map(splitter.push, ids), splitter.flush()]
    return [index for part in settled if not part.thought for index in part.ids]


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
