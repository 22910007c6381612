"""Worker processes that run documents beside this one: each takes whole documents and writes their segments itself.

Only for documents that are run by themselves. A process that ends or hangs, for whatever reason, loses nothing: its document
goes back to those that wait, and a reason that holds here too is met here.
"""

from __future__ import annotations

import pickle
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from types import TracebackType

from tscli.ingest.work import Chain, PrefillJob
from tscli.model.options import LoadOptions
from tscli.processes import start

PATIENCE_S = 600.0  # without a word of anybody: each says when it has run a chunk


@dataclass(frozen=True)
class WorkerConfig:
    """All that a process must know before its first document; threads: how many it computes with."""

    load: LoadOptions
    folder: Path
    work: PrefillJob
    threads: int


class _Worker:
    """One process, its document and how many tokens of that it has run."""

    def __init__(self, config: WorkerConfig) -> None:
        environment = {"OMP_NUM_THREADS": str(config.threads)}
        self.process, self.pipe = start("tscli.ingest.worker_process", environment=environment)
        self.chain: Chain | None = None
        self.done = 0
        self.free = False
        self.pipe.send_bytes(pickle.dumps(config))  # `send` would share the memory of tensors, under a key that it has not

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()


class WorkerPool:
    """Processes that start at once, and work from `begin` until it is closed."""

    def __init__(self, count: int, config: WorkerConfig) -> None:
        self.num_documents = 0  # that they have run
        self._done = self._told = 0  # tokens: of those documents; of them and of those in work, when last asked
        self._waiting: deque[Chain] = deque()
        self._workers: list[_Worker] = []
        with ExitStack() as undo:
            undo.push(self.__exit__)
            for _ in range(count):
                self._workers.append(_Worker(config))
            undo.pop_all()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []

    @property
    def busy(self) -> bool:
        """Whether any of them has a document."""
        return any(worker.chain is not None for worker in self._workers)

    def begin(self, waiting: deque[Chain]) -> None:
        """Take documents from these, the longest first; whoever else takes some takes the first, too."""
        longest_first = sorted(waiting, key=lambda chain: sum(segment.num_tokens for segment in chain), reverse=True)
        waiting.clear()
        waiting.extend(longest_first)
        self._waiting = waiting

    def poll(self, *, wait: bool) -> int:
        """The number of tokens that they have run since, less those of a document that is lost; the free ones get another.

        wait: until one of them says something. Those that have a document and are silent for PATIENCE_S are lost.
        """
        said = connection.wait([worker.pipe for worker in self._workers], PATIENCE_S if wait else 0)
        if wait and not said:
            for worker in [worker for worker in self._workers if worker.chain is not None]:
                self._drop(worker)
        for worker in list(self._workers):
            try:
                while worker.pipe in said and worker.pipe.poll():
                    self._receive(worker, worker.pipe.recv())
                if worker.free and self._waiting:
                    worker.chain, worker.free = self._waiting.popleft(), False
                    worker.pipe.send(worker.chain)
            except (EOFError, OSError):
                self._drop(worker)
        told, self._told = self._told, self._done + sum(worker.done for worker in self._workers)
        return self._told - told

    def _receive(self, worker: _Worker, word: str | int) -> None:
        if isinstance(word, int):
            worker.done += word
            return
        self.num_documents += worker.chain is not None
        self._done += worker.done
        worker.chain, worker.done, worker.free = None, 0, True

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()
        if worker.chain is not None:
            self._waiting.appendleft(worker.chain)
