"""Sequences as training wants them, made ahead by other processes where a GPU would wait for them. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tests.harness.reader_training.corpus import Corpus, Sequence

AHEAD = 64  # sequences per process


class _Stream(IterableDataset[Sequence]):
    """The draws of one corpus in each process."""

    def __init__(self, corpus_of: Callable[[int], Corpus]) -> None:
        self.corpus_of = corpus_of

    def __iter__(self) -> Iterator[Sequence]:
        worker = get_worker_info()
        corpus = self.corpus_of(worker.id if worker else 0)
        while True:
            yield corpus.draw()


def draws(corpus_of: Callable[[int], Corpus], num_workers: int) -> Iterator[Sequence]:
    """Sequences without end, made in so many processes (0: in this one), each from a corpus with a seed of its own."""
    ahead, context = (AHEAD, "fork") if num_workers else (None, None)
    stream = _Stream(corpus_of)
    return iter(
        DataLoader(stream, batch_size=None, num_workers=num_workers, prefetch_factor=ahead, multiprocessing_context=context)
    )
