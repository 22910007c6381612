"""RAG as a peer: BM25's best passages of the same text, run for each question by the same model, here or in llama.cpp."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tscli.bench.llama_cpp_peer import LlamaCppPeer
from tscli.bench.rows import Unavailable, timing_fields, waited_fields
from tscli.bench.setting import Bench
from tscli.errors import UsageError
from tscli.evaluation.dense import answer_texts
from tscli.evaluation.search import Search, passages_of
from tscli.tokens import Context, Prompt, Tokenizer

PASSAGES = 4
# Runs a context and a prompt, then makes so many tokens more than the first: seconds of both.
Reader = Callable[[list[int], list[int], int], tuple[float, float]]


@dataclass(frozen=True)
class _Text:
    """What passages are cut from."""

    context: Context
    tokenizer: Tokenizer


def read_here(bench: Bench) -> Reader:
    """By tscli's own engine, dense."""

    def read(context: list[int], prompt: list[int], n_gen: int) -> tuple[float, float]:
        (answer,) = answer_texts(bench.decoder, context, [prompt], frozenset(), n_gen + 1)
        return answer.ttft_s, answer.total_s - answer.ttft_s

    return read


def read_by_llama_cpp(peer: LlamaCppPeer) -> Reader:
    """By llama.cpp, whose cache is emptied before."""

    def read(context: list[int], prompt: list[int], n_gen: int) -> tuple[float, float]:
        times = peer.answer(torch.tensor(context + prompt), n_gen + 1)
        return times[1] - times[0], times[-1] - times[1]

    return read


def rag_fields(bench: Bench, length: int, read: Reader) -> dict[str, Any]:
    """An answer of n_gen tokens over the passages, the search among all passages counted in; Unavailable without bm25s."""
    text = bench.text
    try:
        search = Search(passages_of(_Text(text.context(length)[0], text.tokenizer)))
    except UsageError as error:
        raise Unavailable(str(error)) from error

    def answer(question: str, prompt: Prompt, n_gen: int) -> tuple[float, float, int]:
        """A question's seconds to the first token and of n_gen more, and how many tokens were run before."""
        started = time.perf_counter()
        found = [passage.text for passage in search.best(question, PASSAGES)][::-1]
        spelled = [token for encoded in text.tokenizer.encode_text(found) for token in encoded.ids.tolist()]
        context, found_s = [*text.template.prefix_ids, *spelled], time.perf_counter() - started
        ttft_s, rest_s = read(context, list(prompt.ids), n_gen)
        return found_s + ttft_s, rest_s, len(context) + len(prompt.ids)

    n_gen, repetitions = bench.decodes([0.0, answer(*bench.asked()[0], bench.trial)[1] / bench.trial])
    asked = bench.asked(repetitions)
    runs = [answer(*one, n_gen if number < repetitions else 1) for number, one in enumerate(asked)]
    ttft_s, decode_s, tokens = zip(*runs, strict=True)
    waited = {**waited_fields(ttft_s, [len(prompt.ids) for _, prompt in asked]), "n_read": list(tokens)}
    return {**timing_fields(decode_s[:repetitions], n_gen), "n_gen": n_gen, **waited}
