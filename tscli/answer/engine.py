"""From a question to its answer: the main path, to be read from top to bottom.

A question, a batch, a chat's turn, a replay and an evaluation all go through `Engine.generate`: requests begin when it is their
turn, one pass of the model runs for all that go on together, and after its end a request's state is as before, but for what a
conversation keeps. What is attended is for a strategy to choose: `retrieval_strategy`, or the paper's `token_select_strategy`;
another one is one module that fulfils `Strategy` and `Progress`. Knows no libraries, no text and nothing of how they choose.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from tscli.answer.availability import check_free, check_open
from tscli.answer.decode import Chooser, Sampler
from tscli.answer.progress import Progress
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.step import Audit, Observer, Pass
from tscli.tokens import Prompt, ThoughtSplitter


class Engine:
    """Runs requests through a model, those that go on together as one pass."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def generate(self, requests: Iterable[Request], at_a_time: int = 1) -> Generator[tuple[Request, int | None], None, None]:
        """The tokens of all answers as they are made, and None after an answer's last one. So many requests go on at a time;
        closing it ends them where they are."""
        waiting, going = iter(requests), list[Request]()
        try:
            while True:
                while len(going) < at_a_time and (request := next(waiting, None)) is not None:
                    request.begin()
                    going.append(request)
                if not going:
                    return
                yield from self.step(going)
                going = [request for request in going if request.progress is not None]
        finally:
            for request in going:
                request.end()

    def step(self, requests: Sequence[Request]) -> list[tuple[Request, int | None]]:
        """One pass of the model for all of them, and what it made of their answers."""
        passes = [request.next_pass() for request in requests]
        logits = iter(self._decoder.forward_batch([one for one in passes if one is not None]))
        taken = [None if one is None else next(logits) for one in passes]
        return [(request, token) for request, own in zip(requests, taken, strict=True) for token in request.take(own)]

    def answer(self, request: Request) -> Generator[int, None, None]:
        """One request's tokens as they are made; closing it ends the request where it is."""
        with closing(self.generate([request])) as made:
            yield from (token for _, token in made if token is not None)


@dataclass(eq=False)
class Request:
    """A prompt to be answered by at most so many tokens, and how far that has come.

    observe: sees the layers' steps that make the answer; audit: the selections of those steps, along with the exact votes.
    excluded: positions (int64) that are not attended to, though they may be selected. answerable: whether any passage can;
    where none does, a strategy that refuses finds the nearest ones all the same. grounded: an answer that says nothing of the
    documents is none, for a strategy that refuses. splitter: tells the answer's tokens from those of thoughts before it, which
    are not judged. ignore_eos: no token ends the answer. token_ids: the answer so far, without the token that ended it.
    """

    strategy: Strategy
    prompt: Prompt
    max_new_tokens: int
    sampler: Chooser = field(default_factory=Sampler)
    observe: Observer | None = None
    audit: Audit | None = None
    excluded: Tensor | None = None
    answerable: bool = True
    grounded: bool = False
    splitter: ThoughtSplitter | None = None
    ignore_eos: bool = False
    token_ids: list[int] = field(default_factory=list)
    progress: Progress | None = None  # while it goes on

    def begin(self) -> None:
        """It is its turn. UsageError where the strategy has another request, is closed, or cannot do what is asked."""
        check_free(self.strategy.is_closed, self.strategy.is_busy)
        self.progress = self.strategy.begin(self)
        self.strategy.is_busy, self._state, self._length = True, self.strategy.state, self.strategy.state.length

    def next_pass(self) -> Pass | None:
        """See `Progress`. UsageError where the strategy was closed meanwhile."""
        check_open(self.strategy.is_closed)
        assert self.progress is not None
        return self.progress.next_pass(self.token_ids[-1] if self.token_ids else None)

    def take(self, logits: Tensor | None) -> Sequence[int | None]:
        """What this step has made of the answer: nothing yet, a token, and None after its last one."""
        assert self.progress is not None
        scores = None if logits is None else self.progress.take(logits)
        if scores is None:
            return [] if logits is not None else self.end()
        if self.strategy.conversation:
            self._length = self.strategy.state.length
        token = self.sampler.next_token(scores)
        self.progress.chosen(token)
        if token in self.strategy.end_ids and not self.ignore_eos:
            return self.end()
        self.token_ids.append(token)
        return [token] if len(self.token_ids) < self.max_new_tokens else [token, *self.end()]

    def end(self) -> list[None]:
        """Nothing more is wanted of it."""
        if self.progress is not None:
            self.progress, self.strategy.is_busy = None, False
            if (state := self.strategy.state) is self._state:  # it may have been closed
                self.strategy.rewind(min(self._length, state.length))  # less where it was to be run anew
        return [None]


class Strategy(Protocol):
    """How answers are found in a state; one request at a time.

    conversation: what was run stays in the state's tail, but nothing of a question that was not read to its end. is_busy: kept
    by the request that goes on; is_closed: whether it holds no pages any more.
    """

    decoder: Decoder
    state: KVState
    end_ids: frozenset[int]
    conversation: bool
    is_busy: bool
    is_closed: bool

    def begin(self, request: Request) -> Progress:
        """Nothing is run yet. UsageError where this strategy cannot do what is asked."""

    def rewind(self, length: int | None = None) -> None:
        """Forget what is after `length` in the state's tail; None: all of it, a conversation among it."""
