"""Other programs on the same model and text: which peers there are, and the two rows of each.

A peer that is not there, or for which a length is too much, has rows that say why. Knows nothing of our attention.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol

import torch
from torch import Tensor

from tscli.bench.llama_cpp_peer import open_llama_cpp
from tscli.bench.rag_peer import Reader, rag_fields, read_by_llama_cpp, read_here
from tscli.bench.rows import BenchRow, Unavailable, decode_fields, filled_fields, timing_fields, waited_fields
from tscli.bench.setting import Bench, dense_seconds, forget_peak_rss, peak_rss
from tscli.bench.transformers_peer import COPIES, open_transformers

MOST_QUESTION = 256  # tokens
MOST_READ = 4096  # tokens of passages and question
SLOW_S = 10.0


class Peer(Protocol):
    """The model as others run it, with the cache of one context."""

    @property
    def fields(self) -> dict[str, Any]:
        """What its rows say besides: `versions`, and how it was set up."""

    def prefill(self, ids: Tensor) -> float:
        """Run ids (int64 [n]) into an empty cache, which is kept; seconds."""

    def fill(self, ids: Tensor, depth: int) -> None:
        """The same, their keys and values then laid behind each other up to `depth` tokens."""

    def question(self, ids: Tensor) -> float:
        """Run a question's ids behind the kept cache, which stays as it is; seconds to the answer's first token."""

    def decode(self, n_gen: int) -> list[float]:
        """Greedy tokens behind the kept cache, which stays as it is; the times at which it began and made each token."""

    def close(self) -> None:
        """Give back what it holds."""


CACHED: dict[str, Callable[[Bench, int], Peer]] = {
    "transformers": lambda bench, room: open_transformers(bench.decoder, room, bench.say),
    "llama.cpp": lambda bench, room: open_llama_cpp(bench.decoder, room, bench.gguf, bench.say),
}
RAG, RAG_BY_LLAMA_CPP = "rag", "rag-llama.cpp"
PEERS = (*CACHED, RAG, RAG_BY_LLAMA_CPP)


def measure_peer(bench: Bench, length: int, method: str) -> tuple[BenchRow, BenchRow]:
    """The prefill row and the decode row of one peer at one length."""
    common = bench.common(method, length)
    forget_peak_rss()
    try:
        if method == RAG:
            return _measure_rag(bench, length, common, read_here(bench))
        if method == RAG_BY_LLAMA_CPP:
            room = MOST_READ + bench.n_gen
            with closing(open_llama_cpp(bench.decoder, room, bench.gguf, bench.say)) as peer:
                first, second = _measure_rag(bench, length, common, read_by_llama_cpp(peer))
                return _described(first, peer), _described(second, peer)
        if (reason := bench.shortage(length, COPIES)) is not None:
            raise Unavailable(reason)
        with closing(CACHED[method](bench, length + bench.n_gen + MOST_QUESTION)) as peer:
            first, second = _measure(bench, length, method, peer, common)
            return _described(first, peer), _described(second, peer)
    except Unavailable as error:
        bench.say(f"{method}: skipped: {error}")
        first, second = (BenchRow(name, method, common, skipped=str(error)) for name in bench.names(length))
        return first, second


def _measure(bench: Bench, length: int, method: str, peer: Peer, common: dict[str, Any]) -> tuple[BenchRow, BenchRow]:
    names, ids, probe = bench.names(length), bench.ids(length), bench.probe(length)
    probes = bench.ids(2 * probe)
    expected_s = dense_seconds(lambda count: peer.prefill(probes[:count]), length, probe)
    prefill = {**common, "n_prompt": length, "n_gen": 0, "n_depth": 0, "expected_s": expected_s}
    if (reason := bench.above_limit(expected_s, f"{probe:,} and {2 * probe:,} tokens")) is not None:
        bench.say(f"{names[0]} {method}: skipped: {reason}; decoding with the keys and values of {probe:,} tokens repeated")
        first, num_run = BenchRow(names[0], method, prefill, skipped=reason), probe
        peer.fill(ids[:probe], length)
    else:
        bench.say(f"{names[0]} {method}: about {expected_s:,.0f} s")
        seconds, num_run = peer.prefill(ids), length
        prefill |= filled_fields(length, length)
        first = BenchRow(names[0], method, {**prefill, **timing_fields([seconds], length), "peak_rss": peak_rss()})
    bench.say(f"{names[1]} {method}")
    n_gen, repetitions = bench.decodes(peer.decode(bench.trial))
    runs = [peer.decode(n_gen) for _ in range(repetitions)]
    decode = {**common, "n_prompt": 0, "n_gen": n_gen, "n_depth": length, **filled_fields(num_run, length)}
    fields = {**decode, **decode_fields(runs, n_gen), **_waited(bench, peer), "peak_rss": peak_rss()}
    return first, BenchRow(bench.names(length, n_gen)[1], method, fields)


def _waited(bench: Bench, peer: Peer) -> dict[str, Any]:
    """The time to each question's first token, behind one that warms up; of one question where that is slow."""
    questions = [torch.tensor(prompt.ids, device=bench.decoder.device) for _, prompt in bench.asked()]
    first = peer.question(questions[0])
    if first > SLOW_S:
        return waited_fields([first], [questions[0].shape[0]])
    return waited_fields([peer.question(ids) for ids in questions], [ids.shape[0] for ids in questions])


def _measure_rag(bench: Bench, length: int, common: dict[str, Any], read: Reader) -> tuple[BenchRow, BenchRow]:
    """No row of a prefill, for nothing is read beforehand; an answer over passages, and the time to its first token."""
    names, method = bench.names(length), common["method"]
    first = BenchRow(names[0], method, common, skipped="it reads nothing before a question")
    fields = rag_fields(bench, length, read)
    decode = {**common, "n_prompt": 0, "n_depth": length, **fields, "peak_rss": peak_rss()}
    return first, BenchRow(bench.names(length, decode["n_gen"])[1], method, decode)


def _described(row: BenchRow, peer: Peer) -> BenchRow:
    versions = {**row.fields["versions"], **peer.fields["versions"]}
    return BenchRow(row.test, row.method, {**row.fields, **peer.fields, "versions": versions}, row.skipped)
