"""The paper's strategy: each token of a question and of its answer selects among all cached tokens, and attends to those.

Knows the model and its attention; knows no libraries and no text.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from tscli.answer.engine import Request
from tscli.errors import UsageError
from tscli.model.attention import Attention, DenseAttention
from tscli.model.decoder import Decoder
from tscli.model.growing_rows import DenseKeys
from tscli.model.kv import KVState
from tscli.model.selectors import FixedSelector, SelectionCache, Selector, SketchSelector
from tscli.model.step import Pass, Trace
from tscli.selection.candidates import uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import Guard
from tscli.selection.question_votes import QuestionVotes
from tscli.selection.select import Selection

QuestionMode = Literal["token", "chunk", "two_pass"]
OLD_MODES = {"twice": "two_pass"}  # as they were called in the version before, and as a model's tscli.json may say


def checked_mode(name: str) -> QuestionMode:
    """The question mode of this name; UsageError where there is none."""
    name = OLD_MODES.get(name, name)
    if name not in get_args(QuestionMode):
        raise UsageError(f"question mode {name!r}: choose {', '.join(get_args(QuestionMode))}")
    return cast(QuestionMode, name)


class TokenSelectStrategy:
    """Runs questions over one state, which holds the documents' keys and values.

    question_mode: each token of the question selects for itself ("token"), all by their mean query ("chunk", the paper), or
    the question is run once to vote and again attending to what it chose ("two_pass"). dense: full attention at true
    positions, where there is nothing to choose and "two_pass" is "token". conversation: questions and answers stay in the
    state's tail, and all of it is attended along with what is selected of the documents.
    """

    refuses = False
    grounded: int | None = None  # nothing is judged
    is_none = False
    namesake = ""
    log_probs = ()
    question_reading = None
    keys_scanned = None

    def __init__(
        self,
        decoder: Decoder,
        state: KVState,
        config: SelectionConfig,
        question_mode: QuestionMode,
        end_ids: frozenset[int],
        dense: bool = False,
        conversation: bool = False,
    ) -> None:
        self.decoder = decoder
        self.state = state
        self.config = config
        self.question_mode: QuestionMode = "token" if dense else question_mode
        self.end_ids = end_ids
        self.guard = Guard()
        self.question_read = 0.0  # by time.perf_counter: when the pass began that makes the answer's first token
        self.dense_keys = DenseKeys() if dense else None
        self.dense_from = state.committed if conversation else None
        self.conversation = conversation
        self.is_busy = self.is_closed = False

    @property
    def is_dense(self) -> bool:
        """Whether all of the context is attended instead of a selection."""
        return self.dense_keys is not None

    @property
    def attends_all_said(self) -> bool:
        """Whether that is not selected from."""
        return self.dense_from is not None

    @property
    def scan(self) -> str:
        """Whether selections are made by the sketch ("sketch") or by all keys ("exact")."""
        candidates = self.state.length - self.config.n_init - self.config.n_local
        return "sketch" if self.state.sketch is not None and uses_sketch(self.config, candidates) else "exact"

    @property
    def first(self) -> int:
        """How many of the context's first tokens are always attended."""
        return self.config.n_init

    @property
    def readings(self) -> int:
        """How often a question's tokens are run."""
        return 2 if self.question_mode == "two_pass" else 1

    def begin(self, request: Request) -> _Selecting:
        """See `Strategy`."""
        if request.excluded is not None and self.is_dense:
            raise UsageError("full attention cannot leave passages out; ask without --dense")
        return _Selecting(self, request)

    def another(self, state: KVState, conversation: bool) -> TokenSelectStrategy:
        """One with a state of its own over the same pages."""
        strategy = TokenSelectStrategy(
            self.decoder, state, self.config, self.question_mode, self.end_ids, self.is_dense, conversation=conversation
        )
        strategy.guard = self.guard
        return strategy

    def most_attended(self, total: int) -> int:
        """How many tokens of the documents, which have so many, an answer attends to at most."""
        return total if self.is_dense else min(total, self.config.n_init + self.config.count(total))

    def close(self) -> None:
        """Hold no pages any more."""
        self.is_closed = True
        self.state = self.decoder.new_state()

    def own_tokens(self, prompt: int, generated: int) -> int:
        """How many tokens of a question of so many, and its answer, pass through the model."""
        return self.readings * prompt + generated

    def rewind(self, length: int | None = None) -> None:
        """See `Strategy`."""
        self.state.rewind(self.state.committed if length is None else length)

    def selectable(self, length: int) -> int:
        """How many of the cached tokens a question selects from, the local window included."""
        return length if self.dense_from is None else min(length, self.dense_from + self.config.n_local)


class _Selecting:
    """One request: the question is read, once or twice, then the answer is made token by token."""

    def __init__(self, strategy: TokenSelectStrategy, request: Request) -> None:
        self._strategy = strategy
        self._request = request
        self._state, self._length = strategy.state, strategy.state.length  # before the question
        ids, size = list(request.prompt.ids), strategy.config.chunk if strategy.question_mode == "chunk" else 1
        self._voting = deque(ids if strategy.question_mode == "two_pass" else ())
        self._votes = QuestionVotes(strategy.decoder.last_selecting_layer)
        self._fixed: Selection | None = None  # what the question chose when it was read for the first time
        self._is_voting = bool(self._voting)
        self._unread = deque(ids[start : start + size] for start in range(0, len(ids), size))
        votes = self._votes if self._is_voting else None
        self._cache = SelectionCache(strategy.config.theta, SketchSelector(strategy.guard, votes))  # for the answer
        self._is_answering = False  # whether any of its tokens was run

    def next_pass(self, token: int | None) -> Pass:
        """See `Progress`."""
        if self._is_voting:
            return self._pass([self._voting.popleft()], SketchSelector(self._strategy.guard, self._votes))
        if token is None:
            return self._question_pass(self._unread.popleft())
        self._is_answering = True
        return self._pass([token], self._fixed_or(self._cache, self._votes), watched=True)

    def take(self, logits: Tensor) -> Tensor | None:
        """See `Progress`."""
        if self._is_voting:
            self._is_voting = bool(self._voting)
            if not self._is_voting:
                self._strategy.rewind(self._length)
                self._fixed = self._votes.selection(self._strategy.config, self._strategy.selectable(self._length))
            return None
        if self._unread:
            return None
        if self._fixed and self._is_answering:
            self._fixed = self._votes.follow(self._fixed, self._strategy.config)
        return logits[0]

    def chosen(self, token: int) -> None:
        """Nothing is told of it: layers report their steps themselves."""

    def _question_pass(self, token_ids: list[int]) -> Pass:
        if not self._unread:
            self._strategy.question_read = time.perf_counter()
        return self._pass(token_ids, self._fixed_or(SketchSelector(self._strategy.guard)), watched=not self._unread)

    def _fixed_or(self, selector: Selector, votes: QuestionVotes | None = None) -> Selector:
        """What the question chose, if it was read before; else by this selector."""
        return selector if self._fixed is None else FixedSelector(self._fixed, selector, votes)

    def _pass(self, token_ids: list[int], selector: Selector, *, watched: bool = False) -> Pass:
        """watched: it makes a token of the answer."""
        strategy, request, decoder = self._strategy, self._request, self._strategy.decoder
        trace = Trace(request.observe, decoder.last_selecting_layer, request.audit) if watched else None
        over = self._state, decoder.rotator, strategy.config
        if strategy.dense_keys is None:
            run = Attention(*over, selector, trace=trace, dense_from=strategy.dense_from, excluded=request.excluded)
        else:
            run = DenseAttention(*over, strategy.dense_keys, trace=trace)
        return Pass(torch.tensor(token_ids, device=decoder.device), run, [len(token_ids) - 1])
