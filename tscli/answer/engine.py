"""From a question to its answer: the main path, to be read from top to bottom.

    begin    a request is put to a way: voters (`voting_asker`) or the paper's (`asker`), over a state of its own
    step     one pass of the model for all requests that go on together: of each its question is read further, or its answer's
             latest token is run; what the pass says is handed back to each way, and the next token chosen
    end      the state is as it was before, but for what a conversation keeps

One question, a batch, a chat's turn, a replay and an evaluation all go through `Engine.generate`. Knows no libraries, no text
and nothing of how a way chooses what is attended; a further way is one module that fulfils `Way` and `Progress`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from tscli.answer.decode import Chooser, Sampler
from tscli.model.attention import Audit, Observer
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.step import CountedRun
from tscli.tokens import Prompt


@dataclass(frozen=True)
class Pass:
    """What is to go through the model: token ids, int64 [t], over the run's state; rows: of which of them logits are wanted."""

    token_ids: Tensor
    run: CountedRun
    rows: Sequence[int]


class Progress(Protocol):
    """One request on its way."""

    def next_pass(self, token: int | None) -> Pass | Tensor | None:
        """The pass that comes next; where it was run already (as a CUDA graph) its logits, where nothing answers the question
        None. token: the answer's latest one, None before the first."""

    def take(self, logits: Tensor) -> Tensor | None:
        """Take that pass's logits, [rows, vocab] float32; scores [vocab] of the answer's next token, None while the question is
        being read."""

    def chosen(self, token: int) -> None:
        """Hear which token was chosen by those scores, one that ends the answer among them."""

    def end(self) -> None:
        """Put the state back as it was, but for what a conversation keeps."""


class Way(Protocol):
    """How answers are found in a state, which holds the documents' keys and values; one request at a time."""

    decoder: Decoder
    state: KVState
    end_ids: frozenset[int]

    def begin(self, request: Request) -> Progress:
        """Nothing is run yet. UsageError where another request is under way, or this way cannot do what is asked."""


@dataclass(eq=False)
class Request:
    """A prompt to be answered by at most so many tokens, and how far that has come.

    observe: sees the layers' steps that make the answer; audit: the selections of those steps, beside the exact votes.
    excluded: positions (int64) that are not attended to, though they may be selected. answerable: whether any passage can
    answer it; where it is known that none does, a way that refuses finds the nearest ones all the same.
    ignore_eos: no token ends the answer. token_ids: the answer so far, without the token that ended it. progress: None before
    it has begun and behind its end.
    """

    way: Way
    prompt: Prompt
    max_new_tokens: int
    sampler: Chooser = field(default_factory=Sampler)
    observe: Observer | None = None
    audit: Audit | None = None
    excluded: Tensor | None = None
    answerable: bool = True
    ignore_eos: bool = False
    token_ids: list[int] = field(default_factory=list)
    progress: Progress | None = None

    def begin(self) -> None:
        """It is its turn."""
        self.progress = self.way.begin(self)

    def next_pass(self) -> Pass | Tensor | None:
        """See `Progress`."""
        assert self.progress is not None
        return self.progress.next_pass(self.token_ids[-1] if self.token_ids else None)

    def take(self, logits: Tensor | None) -> list[int | None]:
        """What this step has made of the answer: nothing yet, a token, None behind its last one."""
        assert self.progress is not None
        scores = None if logits is None else self.progress.take(logits)
        if scores is None:
            return [] if logits is not None else self._ended()
        token = self.sampler.next_token(scores)
        self.progress.chosen(token)
        if token in self.way.end_ids and not self.ignore_eos:
            return self._ended()
        self.token_ids.append(token)
        return [token] if len(self.token_ids) < self.max_new_tokens else [token, *self._ended()]

    def end(self) -> None:
        """Nothing more is wanted."""
        if self.progress is not None:
            self.progress.end()
            self.progress = None

    def _ended(self) -> list[int | None]:
        self.end()
        return [None]


class Engine:
    """Runs requests through a model, those that go on together as one pass."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def generate(self, requests: Iterable[Request], at_a_time: int = 1) -> Generator[tuple[Request, int | None], None, None]:
        """Answer requests, each begun when it is its turn: the tokens of each as they are made, and None behind its last one.
        Closing it ends all of them where they are."""
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
        run = [one for one in passes if isinstance(one, Pass)]
        logits = iter(self._decoder.forward_batch([p.token_ids for p in run], [p.run for p in run], [p.rows for p in run]))
        made = list[tuple[Request, int | None]]()
        for request, one in zip(requests, passes, strict=True):
            made += [(request, token) for token in request.take(next(logits) if isinstance(one, Pass) else one)]
        return made

    def answer(self, request: Request) -> Generator[int, None, None]:
        """The tokens of one request's answer as they are made; closing it ends the request where it is."""
        with closing(self.generate([request])) as made:
            yield from (token for _, token in made if token is not None)
