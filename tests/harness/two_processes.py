"""Independent documents in one process of two threads, in two of one thread each, and in one of one thread: which is faster?

    python tests/harness/two_processes.py FILE [TOKENS] [DOCUMENTS] [ROUNDS]

Cuts a text into documents of so many tokens and runs them through the embedded reader in memory; alternately, so that other
work on the machine disturbs all ways alike. On a busy machine the figures say nothing about an idle one: look at the load.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path


def work(pipe: Connection, file: str, tokens: int, count: int, threads: int) -> None:
    """Run the documents that are named, as often as asked; answers with processor seconds."""
    import torch

    from tscli.ingest.prefill import prefill_in_memory
    from tscli.model.load import load_decoder
    from tscli.model.options import LoadOptions
    from tscli.selection.config import SelectionOptions, resolve
    from tscli.tokens import load_tokenizer

    torch.set_num_threads(threads)
    decoder = load_decoder(LoadOptions("reader"))
    config = resolve(SelectionOptions(), decoder.selection_defaults, decoder.window)
    ids = torch.from_numpy(load_tokenizer(str(decoder.folder)).encode_text([Path(file).read_text()])[0].ids).long()
    pipe.send(0.0)
    while (documents := pipe.recv()) is not None:
        started = time.process_time()
        for number in documents:
            prefill_in_memory(decoder, ids[number * tokens : (number + 1) * tokens], config)
        pipe.send(time.process_time() - started)


def main() -> None:
    """Each way once a round; the medians and the least."""
    file, (tokens, count, rounds) = (
        sys.argv[1],
        (int(text) for text in (*sys.argv[2:5], *("1024", "8", "5")[len(sys.argv) - 2 :])),
    )
    pipes = []
    for threads in (2, 1, 1):
        os.environ["OMP_NUM_THREADS"] = str(threads)
        mine, theirs = multiprocessing.get_context("spawn").Pipe()
        arguments = (theirs, file, tokens, count, threads)
        multiprocessing.get_context("spawn").Process(target=work, args=arguments, daemon=True).start()
        pipes.append(mine)
    for pipe in pipes:
        pipe.recv()
    everything = range(count)
    ways = {
        "one of two threads": [(pipes[0], everything)],
        "two of one thread": [(pipes[1], everything[::2]), (pipes[2], everything[1::2])],
        "one of one thread": [(pipes[1], everything)],
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first warms up
        for name, parts in list(ways.items())[:: 1 if number % 2 else -1]:
            started = time.perf_counter()
            for pipe, documents in parts:
                pipe.send(documents)
            processor = sum(pipe.recv() for pipe, _ in parts)
            seconds = time.perf_counter() - started
            print(f"{name}: {seconds:.2f} s, {processor:.2f} s of processor, load {os.getloadavg()[0]:.1f}", flush=True)
            spent[name] += [seconds] if number else []
    for name, seconds_of in spent.items():
        print(f"{name}: median {statistics.median(seconds_of):.2f} s, least {min(seconds_of):.2f} s")


if __name__ == "__main__":
    main()
