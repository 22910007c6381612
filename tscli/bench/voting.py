"""What a user of a real model waits for: the prefill of each document, then answers from the passages that heads find.

The library lies in memory. Documents that stand in it more than once are read once, and copied.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from tscli.answer.engine import Engine, Request
from tscli.answer.passages import PassageFinder
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.bench.filling import PREFIX, Room
from tscli.bench.rows import decode_fields, filled_fields, waited_fields
from tscli.bench.setting import Bench
from tscli.library.dense_prefill import read_document
from tscli.model.head_keys import KeyRun
from tscli.model.kv import KVState
from tscli.model.pages import Pages
from tscli.store import by_head, head_keys_tensors
from tscli.tokens import Context, Prompt, SourceText, build_context


@dataclass(frozen=True)
class ReadLibrary:
    """A context and the state over it; num_run: tokens that were read for it, in so many seconds."""

    context: Context
    state: KVState
    num_run: int
    seconds: float

    @property
    def fields(self) -> dict[str, Any]:
        """What both rows say of it."""
        return {**filled_fields(self.num_run, self.state.committed), "n_ctx": self.state.committed}


def read_library(bench: Bench, length: int, room: Room) -> ReadLibrary:
    """The measured text as a library of about `length` tokens; where reading it all would take too long, PREFIX tokens of it
    are read, or as many as can be in that time, and repeated."""
    decoder, text = bench.decoder, bench.text
    context, number = text.context(length)
    first = context.documents[0].token_start
    number = len(context.documents) if bench.full_prefill else number
    total = context.documents[number - 1].token_end
    ids = torch.from_numpy(context.token_ids.astype("int64"))
    kept = bench.kept("tokenselect")
    pages, num_run, started = list[Pages](), first, time.perf_counter()
    whole = decoder.new_state([read_document(decoder, decoder.new_state(), ids[:first], kept)])
    for document in context.documents[:number]:
        own = ids[document.token_start : document.token_end]
        pages.append(room.keep(read_document(decoder, decoder.new_state(whole.segments[:1]), own, kept)))
        num_run += own.shape[0]
        if _is_enough(time.perf_counter() - started, num_run, total, bench.prefill_limit_s):
            break
    seconds = time.perf_counter() - started
    context = _of_documents(bench, context, len(pages)) if len(pages) < number else context
    for place in range(len(context.documents)):
        whole.extend(pages[place] if place < len(pages) else room.copy(pages[place % len(pages)]))
    _keep_head_keys(bench, whole)
    return ReadLibrary(context, whole, num_run, seconds)


def _keep_head_keys(bench: Bench, state: KVState) -> None:
    """The retrieval heads' keys once more in one piece, as a library on disk has them."""
    assert bench.retrieval_heads is not None
    heads = sorted(bench.retrieval_heads.kv_heads(bench.decoder.q_heads // bench.decoder.kv_heads))
    if state.device.type == "cpu":
        state.use_runs([KeyRun(0, state.committed, by_head(head_keys_tensors(state.segments, heads), heads))])


def _is_enough(seconds: float, num_run: int, total: int, limit_s: float) -> bool:
    """Whether so many tokens, read in so many seconds, are to do for all."""
    return seconds > limit_s or (num_run >= PREFIX and seconds / num_run * total > limit_s)


def _of_documents(bench: Bench, context: Context, number: int) -> Context:
    """The same length by the first so many documents only."""
    documents = context.documents
    sources = [
        SourceText(document.path, documents[place % number].sha256, None, False, documents[place % number].title)
        for place, document in enumerate(documents)
    ]
    return build_context(bench.text.tokenizer, bench.text.template, sources, reuse=context, max_tokens=1 << 40)


def answer_fields(bench: Bench, library: ReadLibrary) -> dict[str, Any]:
    """Answers behind their first token, of one question after the other."""
    text, retrieval_heads = bench.text, bench.retrieval_heads
    assert retrieval_heads is not None
    finder = PassageFinder(library.context, text.tokenizer)
    strategy = RetrievalStrategy(bench.decoder, library.state, retrieval_heads, finder, frozenset(), refuses=False)
    engine = Engine(bench.decoder)

    def answer(prompt: Prompt, n_gen: int) -> list[float]:
        """When a question is asked, and when each token of its answer is there."""
        return [time.perf_counter(), *(time.perf_counter() for _ in engine.answer(Request(strategy, prompt, n_gen + 1)))]

    n_gen, repetitions = bench.decodes(answer(bench.asked()[0][1], bench.trial)[1:])
    prompts = [prompt for _, prompt in bench.asked(repetitions)]
    runs = [answer(prompt, n_gen if number < repetitions else 0) for number, prompt in enumerate(prompts)]
    waited = waited_fields([run[1] - run[0] for run in runs], [len(prompt.ids) for prompt in prompts])
    return {**decode_fields([run[1:] for run in runs[:repetitions]], n_gen), **waited, "n_gen": n_gen}
