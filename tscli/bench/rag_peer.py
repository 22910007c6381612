"""What users have instead: BM25's best passages of the same text, run again by the same model for each question."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tscli.bench.rows import timing_fields
from tscli.bench.setting import Bench
from tscli.bench.text import QUESTION
from tscli.bench.unavailable import Unavailable
from tscli.errors import UsageError
from tscli.evaluation.dense import answer_texts
from tscli.evaluation.search import Search, passages_of
from tscli.tokens import Context, Tokenizer

PASSAGES = 4


@dataclass(frozen=True)
class _Text:
    """What passages are cut from."""

    context: Context
    tokenizer: Tokenizer


def rag_fields(bench: Bench, length: int) -> dict[str, Any]:
    """An answer of n_gen tokens over the passages, the search among all passages counted in; Unavailable without bm25s."""
    text = bench.text
    try:
        search = Search(passages_of(_Text(text.context(length)[0], text.tokenizer)))
    except UsageError as error:
        raise Unavailable(str(error)) from error
    prompt = list(text.template.prompt(text.tokenizer, QUESTION).ids)
    decode_s, ttft_s, read = list[float](), list[float](), 0
    for _ in range(bench.repetitions + 1):
        started = time.perf_counter()
        found = [passage.text for passage in search.best(QUESTION, PASSAGES)][::-1]
        spelled = [token for encoded in text.tokenizer.encode_text(found) for token in encoded.ids.tolist()]
        context, found_s = [*text.template.prefix_ids, *spelled], time.perf_counter() - started
        (answer,) = answer_texts(bench.decoder, context, [prompt], frozenset(), bench.n_gen + 1)
        ttft_s.append(found_s + answer.ttft_s)
        decode_s.append(answer.total_s - answer.ttft_s)
        read = len(context) + len(prompt)
    ttft_ms = 1e3 * sum(ttft_s[1:]) / bench.repetitions  # the first one warms up
    return {**timing_fields(decode_s[1:], bench.n_gen), "ttft_ms": ttft_ms, "n_question": len(prompt), "n_read": read}
