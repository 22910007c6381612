"""Questions over a cache: a question's tokens through the model, then the answer's, and the cache is as before.

What a question wants of the model it asks for as a `ForwardRequest`, so that `batching` can run those of several at a time.

Knows the model and its attention; knows no libraries and no text.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Literal, Never, cast, get_args

import torch

from tscli.answer.batching import ForwardRequest, Steps, run_alone, run_to_end
from tscli.answer.decode import Sampler, Sampling
from tscli.errors import UsageError
from tscli.model.attention import AttentionRun, Audit, Observer
from tscli.model.cuda_graph import GraphedSteps, GraphRun, fits
from tscli.model.decoder import Decoder
from tscli.model.kv import DenseKeys, KVState
from tscli.selection.candidates import uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import EVERY, Guard
from tscli.selection.question_votes import QuestionVotes
from tscli.selection.select import Selection
from tscli.selection.selection_cache import SelectionCache

QuestionMode = Literal["token", "chunk", "two_pass"]
OLD_MODES = {"twice": "two_pass"}  # as they were called in the version before, and as a model's tscli.json may say


def checked_mode(name: str) -> QuestionMode:
    """The question mode of this name; UsageError where there is none."""
    name = OLD_MODES.get(name, name)
    if name not in get_args(QuestionMode):
        raise UsageError(f"question mode {name!r}: choose {', '.join(get_args(QuestionMode))}")
    return cast(QuestionMode, name)


class Asker:
    """Runs questions over one state, which holds the documents' keys and values.

    question_mode: each token of the question selects for itself ("token"), all by their mean query ("chunk", the paper), or
    the question is run once to vote and again beside what it chose ("two_pass"). dense: full attention at true positions, where
    there is nothing to choose and "two_pass" is "token". conversation: questions and answers stay in the state's tail, and all
    of it is attended beside what is selected of the documents.
    """

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
        self._dense = DenseKeys() if dense else None
        self._dense_from = state.committed if conversation else None
        self._excluded: torch.Tensor | None = None
        self._busy = False
        self.captures = decoder.device.type == "cuda"
        self._steps: GraphedSteps | None = None
        self._graphed_steps = 0

    @property
    def is_dense(self) -> bool:
        """Whether all of the context is attended instead of a selection."""
        return self._dense is not None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made."""
        return self._busy

    @property
    def scan(self) -> str:
        """Whether selections are made by the sketch ("sketch") or by all keys ("exact")."""
        candidates = self.state.length - self.config.n_init - self.config.n_local
        return "sketch" if self.state.sketch is not None and uses_sketch(self.config, candidates) else "exact"

    @property
    def readings(self) -> int:
        """How often a question's tokens are run."""
        return 2 if self.question_mode == "two_pass" else 1

    def answer(
        self,
        prompt_ids: list[int],
        sampling: Sampling,
        max_new_tokens: int,
        observe: Observer | None = None,
        excluded: torch.Tensor | None = None,
    ) -> Generator[int, None, None]:
        """Token ids of the answer without the end token; observe sees the steps that make them.

        The last prompt token's step already makes the answer's first token, so it is observed. In a conversation what has
        been run stays in the state: all but the answer's last token, or nothing where the question was not read to its end.
        excluded: positions (int64) that are not attended to, though they may be selected.
        """
        return run_alone(self.steps(prompt_ids, sampling, max_new_tokens, observe, excluded), self.decoder)

    def steps(
        self,
        prompt_ids: list[int],
        sampling: Sampling,
        max_new_tokens: int,
        observe: Observer | None = None,
        excluded: torch.Tensor | None = None,
    ) -> Steps[int, None]:
        """As `answer`, for whoever runs the model."""
        if self._busy:
            raise UsageError("another answer of this session is still streaming; finish it first")
        if excluded is not None and self._dense is not None:
            raise UsageError("full attention cannot leave passages out; ask without --dense")
        self._busy, self._excluded = True, excluded
        state, length, sampler = self.state, self.state.length, Sampler(sampling)
        stays = False
        try:
            votes = yield from self._first_reading(state, prompt_ids)
            fixed = votes.selection(self.config, self._selectable(length))
            logits = yield from self._run_prompt(state, prompt_ids, observe, fixed)
            stays = self._dense_from is not None
            reuse = SelectionCache(self.config.theta)
            graphed = self._graphed(max_new_tokens) if fixed is None and excluded is None else None
            for made in range(max_new_tokens):
                token = sampler.next_token(logits)
                if token in self.end_ids:
                    return
                yield token
                if made + 1 < max_new_tokens:
                    if graphed is not None:
                        if self._is_compared():
                            graphed.end()
                            logits = yield self._request(state, [token], observe, guard=self.guard.throughout())
                            graphed = self._graphed(max_new_tokens - made)
                            continue
                        logits = graphed.step(token)
                        if observe is not None:
                            for step in graphed.taken():
                                observe(step)
                        continue
                    logits = yield self._request(state, [token], observe, reuse, votes=votes if fixed else None, fixed=fixed)
                    fixed = votes.follow(fixed, self.config) if fixed else None
        finally:
            self._rewind(state, state.length if stays else length)
            self._busy, self._excluded = False, None

    def close(self) -> None:
        """Hold no pages any more."""
        self.state, self._steps = self.decoder.new_state(), None

    def own_tokens(self, prompt: int, generated: int) -> int:
        """How many tokens of a question of so many, and its answer, pass through the model."""
        return self.readings * prompt + generated

    def rewind(self, length: int | None = None) -> None:
        """Forget a conversation, or what of it is behind `length`: the state is as its committed pages are."""
        self._rewind(self.state, self.state.committed if length is None else length)

    def replay(self, prompt_ids: list[int], answer_ids: list[int], audit: Audit | None = None) -> torch.Tensor:
        """The logits that come before each token of a given answer and behind its last, [len(answer_ids) + 1, vocab] float32.

        audit sees the selections that make them; the cache is as before.
        """
        return run_to_end(self._replayed(prompt_ids, answer_ids, audit), self.decoder)

    def _replayed(self, prompt_ids: list[int], answer_ids: list[int], audit: Audit | None) -> Steps[Never, torch.Tensor]:
        state, length = self.state, self.state.length
        try:
            votes = yield from self._first_reading(state, prompt_ids)
            fixed = votes.selection(self.config, self._selectable(length))
            first = yield from self._run_prompt(state, prompt_ids, None, fixed, audit)
            logits = [first]
            reuse = SelectionCache(self.config.theta)
            for token in answer_ids:
                part = yield self._request(
                    state, [token], None, reuse, votes=votes if fixed else None, fixed=fixed, audit=audit
                )
                logits.append(part)
                fixed = votes.follow(fixed, self.config) if fixed else None
            return torch.stack(logits)
        finally:
            self._rewind(state, length)

    def _graphed(self, steps: int) -> GraphedSteps | None:
        """What takes so many steps from here as a CUDA graph, on a GPU where nothing of it changes its size: all steps select,
        since a graph cannot choose."""
        state, decoder = self.state, self.decoder
        if not self.captures or self._dense or self._dense_from is not None or decoder.rotator.depends_on_length:
            return None
        if not fits(state, self.config, decoder.shape.sliding, steps):
            return None
        widths = tuple(self.guard.factor(layer) for layer in range(decoder.layers))
        if self._steps is None or self._steps.widths != widths:
            run = GraphRun(state, decoder.rotator, self.config, decoder.last_selecting_layer, widths)
            self._steps = GraphedSteps(decoder, run)
        self._steps.begin()
        return self._steps

    def _is_compared(self) -> bool:
        """Whether the next of the graph's steps is to be an ordinary one, whose selections are all compared with exact ones: so
        as many are as the guard compares where each step makes its own."""
        self._graphed_steps += 1
        return self.scan == "sketch" and self._graphed_steps % EVERY == 0

    def _selectable(self, length: int) -> int:
        """How many of the cached tokens a question selects from, the local window included."""
        return length if self._dense_from is None else min(length, self._dense_from + self.config.n_local)

    def _first_reading(self, state: KVState, prompt_ids: list[int]) -> Steps[Never, QuestionVotes]:
        """Run the question once to vote, and forget it; no votes where it is read once or the context attended as a whole."""
        votes, length = QuestionVotes(self.decoder.last_selecting_layer), state.length
        if self.question_mode == "two_pass":
            for token in prompt_ids:
                yield self._request(state, [token], votes=votes)
            self._rewind(state, length)
        return votes

    def _run_prompt(
        self,
        state: KVState,
        prompt_ids: list[int],
        observe: Observer | None,
        fixed: Selection | None,
        audit: Audit | None = None,
    ) -> Steps[Never, torch.Tensor]:
        size = self.config.chunk if self.question_mode == "chunk" else 1
        logits = torch.empty(0)
        for start in range(0, len(prompt_ids), size):
            last = start + size >= len(prompt_ids)
            watched = (observe, audit) if last else (None, None)
            if last:
                self.question_read = time.perf_counter()
            logits = yield self._request(state, prompt_ids[start : start + size], watched[0], fixed=fixed, audit=watched[1])
        return logits

    def _request(
        self,
        state: KVState,
        token_ids: list[int],
        observe: Observer | None = None,
        reuse: SelectionCache | None = None,
        *,
        votes: QuestionVotes | None = None,
        fixed: Selection | None = None,
        audit: Audit | None = None,
        guard: Guard | None = None,
    ) -> ForwardRequest:
        run = AttentionRun(
            state,
            self.decoder.rotator,
            self.config,
            reuse=reuse,
            votes=votes,
            fixed=fixed,
            dense=self._dense,
            observe=observe,
            guard=guard or self.guard,
            audit=audit,
            dense_from=self._dense_from,
            traced_layer=self.decoder.last_selecting_layer,
            excluded=self._excluded,
        )
        return ForwardRequest(torch.tensor(token_ids, device=self.decoder.device), run)

    def _rewind(self, state: KVState, length: int) -> None:
        state.rewind(length)
        if self._dense is not None:
            self._dense.crop(length)
