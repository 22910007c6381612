"""What a user of a real model waits for: documents read one by one, then questions answered from passages that heads find.

The library lies in memory. Documents that stand in it more than once are read once, and copied.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from tscli.answer.engine import Engine, Request
from tscli.answer.passages import PassageFinder
from tscli.answer.voting_asker import VotingAsker
from tscli.bench.rows import decode_fields, timing_fields
from tscli.bench.setting import PREFILL_LIMIT_S, Bench
from tscli.bench.text import QUESTION
from tscli.library.dense_prefill import read_document
from tscli.library.layout import DevicePages
from tscli.model.kv import KVState, Pages
from tscli.tokens import Context, SourceText, build_context


@dataclass(frozen=True)
class ReadLibrary:
    """A context and the state over it; num_run: tokens that were read for it, in so many seconds."""

    context: Context
    state: KVState
    num_run: int
    seconds: float

    def prefill_fields(self) -> dict[str, Any]:
        """The figures of the reading; n_run: tokens that were read, the others being copies."""
        return {**timing_fields([self.seconds], self.num_run), "n_run": self.num_run, "n_ctx": self.state.committed}


def read_library(bench: Bench, length: int) -> ReadLibrary:
    """The measured text as a library of about `length` tokens; no more is read than PREFILL_LIMIT_S allow."""
    decoder, text = bench.decoder, bench.text
    context, number = text.context(length)
    first = context.documents[0].token_start
    ids = torch.from_numpy(context.token_ids.astype("int64"))
    kept = bench.kept("tokenselect")
    whole = decoder.new_state([read_document(decoder, decoder.new_state(), ids[:first], kept)])
    pages, num_run, started = list[Pages](), 0, time.perf_counter()
    for document in context.documents[:number]:
        own = ids[document.token_start : document.token_end]
        pages.append(read_document(decoder, decoder.new_state(whole.segments[:1]), own, kept))
        num_run += own.shape[0]
        if time.perf_counter() - started > PREFILL_LIMIT_S:
            break
    seconds = time.perf_counter() - started
    context = _of_documents(bench, context, len(pages)) if len(pages) < number else context
    for place in range(len(context.documents)):
        whole.extend(pages[place] if place < len(pages) else _copy(pages[place % len(pages)]))
    return ReadLibrary(context, whole, num_run, seconds)


def _of_documents(bench: Bench, context: Context, number: int) -> Context:
    """The same length by the first so many documents only."""
    documents = context.documents
    sources = [
        SourceText(document.path, documents[place % number].sha256, None, False, documents[place % number].title)
        for place, document in enumerate(documents)
    ]
    return build_context(bench.text.tokenizer, bench.text.template, sources, reuse=context, max_tokens=1 << 40)


def _copy(pages: Pages) -> DevicePages:
    scales = None if pages.scales is None else (pages.scales[0].clone(), pages.scales[1].clone())
    return DevicePages(pages.key.clone(), pages.value.clone(), pages.num_tokens, scales)


def answer_fields(bench: Bench, library: ReadLibrary) -> dict[str, Any]:
    """Answers of n_gen tokens behind their first one; ttft_ms: from the question to that; n_question: tokens of its prompt."""
    text, voters = bench.text, bench.voters
    assert voters is not None
    finder = PassageFinder(library.context, text.tokenizer)
    asker = VotingAsker(bench.decoder, library.state, voters, finder, frozenset(), refuses=False)
    prompt = text.template.prompt(text.tokenizer, QUESTION)
    engine, runs, waited = Engine(bench.decoder), list[list[float]](), list[float]()
    for _ in range(bench.repetitions + 1):
        began = time.perf_counter()
        runs.append([time.perf_counter() for _ in engine.answer(Request(asker, prompt, bench.n_gen + 1))])
        waited.append(1e3 * (runs[-1][0] - began))
    ttft_ms = sum(waited[1:]) / bench.repetitions  # the first one warms up
    return {**decode_fields(runs[1:], bench.n_gen), "ttft_ms": ttft_ms, "n_question": len(prompt.ids)}
