"""Other processes that run documents beside this one: each takes whole documents, and writes their segments by itself.

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

from tscli.ingest.work import Chain, Work
from tscli.model.options import LoadOptions
from tscli.processes import start

PATIENCE_S = 600.0  # without a word of anybody: each says when it has run a chunk


@dataclass(frozen=True)
class Orders:
    """All that a process must know before its first document; threads: how many it computes with."""

    load: LoadOptions
    folder: Path
    work: Work
    threads: int


class _Member:
    """One process, its document and how many tokens of that it has run."""

    def __init__(self, orders: Orders) -> None:
        environment = {"OMP_NUM_THREADS": str(orders.threads)}
        self.process, self.pipe = start("tscli.ingest.crew_member", environment=environment)
        self.chain: Chain | None = None
        self.done = 0
        self.free = False
        self.pipe.send_bytes(pickle.dumps(orders))  # `send` would share the memory of tensors, under a key that it has not

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()


class Crew:
    """Processes that start at once, and work from `begin` until it is closed."""

    def __init__(self, count: int, orders: Orders) -> None:
        self.num_documents = 0  # that they have run
        self._done = self._told = 0  # tokens: of those documents; of them and of those in work, when last asked
        self._waiting: deque[Chain] = deque()
        self._members: list[_Member] = []
        with ExitStack() as undo:
            undo.push(self.__exit__)
            for _ in range(count):
                self._members.append(_Member(orders))
            undo.pop_all()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for member in self._members:
            member.end()
        self._members = []

    @property
    def busy(self) -> bool:
        """Whether any of them has a document."""
        return any(member.chain is not None for member in self._members)

    def begin(self, waiting: deque[Chain]) -> None:
        """Take documents from these, the longest first; whoever else takes some takes the first, too."""
        longest_first = sorted(waiting, key=lambda chain: sum(segment.num_tokens for segment in chain), reverse=True)
        waiting.clear()
        waiting.extend(longest_first)
        self._waiting = waiting

    def hear(self, *, wait: bool) -> int:
        """The number of tokens that they have run since, less those of a document that is lost; the free ones get another.

        wait: until one of them says something. Those that have a document and are silent for PATIENCE_S are lost.
        """
        said = connection.wait([member.pipe for member in self._members], PATIENCE_S if wait else 0)
        if wait and not said:
            for member in [member for member in self._members if member.chain is not None]:
                self._do_without(member)
        for member in list(self._members):
            try:
                while member.pipe in said and member.pipe.poll():
                    self._take_in(member, member.pipe.recv())
                if member.free and self._waiting:
                    member.chain, member.free = self._waiting.popleft(), False
                    member.pipe.send(member.chain)
            except (EOFError, OSError):
                self._do_without(member)
        told, self._told = self._told, self._done + sum(member.done for member in self._members)
        return self._told - told

    def _take_in(self, member: _Member, word: str | int) -> None:
        if isinstance(word, int):
            member.done += word
            return
        self.num_documents += member.chain is not None
        self._done += member.done
        member.chain, member.done, member.free = None, 0, True

    def _do_without(self, member: _Member) -> None:
        self._members.remove(member)
        member.end()
        if member.chain is not None:
            self._waiting.appendleft(member.chain)
