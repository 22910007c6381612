"""Questions over a cache: a question's tokens through the model, then the answer's, and the cache is as before.

Knows the model and its attention; knows no libraries and no text.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal, cast, get_args

import torch

from tscli.engine.decode import Sampler, Sampling
from tscli.errors import UsageError
from tscli.model.attention import AttentionRun, Audit, Observer
from tscli.model.decoder import Decoder
from tscli.model.kv import DenseKeys, KVState
from tscli.selection.candidates import uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import Guard
from tscli.selection.question_votes import QuestionVotes
from tscli.selection.select import Selection
from tscli.selection.selection_cache import SelectionCache

QuestionMode = Literal["token", "chunk", "twice"]


def checked_mode(name: str) -> QuestionMode:
    """The question mode of this name; UsageError where there is none."""
    if name not in get_args(QuestionMode):
        raise UsageError(f"question mode {name!r}: choose {', '.join(get_args(QuestionMode))}")
    return cast(QuestionMode, name)


class Asker:
    """Runs questions over one state, which holds the documents' keys and values.

    question_mode: each token of the question selects for itself ("token"), all by their mean query ("chunk", the paper), or
    the question is run once to vote and again beside what it chose ("twice"). dense: full attention at true positions, where
    there is nothing to choose and "twice" is "token". conversation: questions and answers stay in the state's tail, and all of
    it is attended beside what is selected of the documents.
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
        self._dense = DenseKeys() if dense else None
        self._whole_from = state.committed if conversation else None
        self._without: torch.Tensor | None = None
        self._busy = False

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
        return 2 if self.question_mode == "twice" else 1

    def answer(
        self,
        prompt_ids: list[int],
        sampling: Sampling,
        max_new_tokens: int,
        observe: Observer | None = None,
        without: torch.Tensor | None = None,
    ) -> Generator[int, None, None]:
        """Token ids of the answer without the end token; observe sees the steps that make them.

        The last prompt token's step already makes the answer's first token, so it is observed. In a conversation what has
        been run stays in the state: all but the answer's last token, or nothing where the question was not read to its end.
        without: positions (int64) that are not attended to, though they may be selected.
        """
        if self._busy:
            raise UsageError("another answer of this session is still streaming; finish it first")
        if without is not None and self._dense is not None:
            raise UsageError("full attention cannot leave passages out; ask without --dense")
        self._busy, self._without = True, without
        state, length, sampler = self.state, self.state.length, Sampler(sampling)
        stays = False
        try:
            votes = self._first_reading(state, prompt_ids)
            fixed = votes.selection(self.config, self._selectable(length))
            logits = self._run_prompt(state, prompt_ids, observe, fixed)
            stays = self._whole_from is not None
            reuse = SelectionCache(self.config.theta)
            for made in range(max_new_tokens):
                token = sampler.next_token(logits)
                if token in self.end_ids:
                    return
                yield token
                if made + 1 < max_new_tokens:
                    logits = self._forward(state, [token], observe, reuse, votes=votes if fixed else None, fixed=fixed)
                    fixed = votes.follow(fixed, self.config) if fixed else None
        finally:
            self._rewind(state, state.length if stays else length)
            self._busy, self._without = False, None

    def rewind(self) -> None:
        """Forget a conversation: the state is as its committed pages are."""
        self._rewind(self.state, self.state.committed)

    def replay(self, prompt_ids: list[int], answer_ids: list[int], audit: Audit | None = None) -> torch.Tensor:
        """The logits that come before each token of a given answer and behind its last, [len(answer_ids) + 1, vocab] float32.

        audit sees the selections that make them; the cache is as before.
        """
        state, length = self.state, self.state.length
        try:
            votes = self._first_reading(state, prompt_ids)
            fixed = votes.selection(self.config, self._selectable(length))
            logits = [self._run_prompt(state, prompt_ids, None, fixed, audit)]
            reuse = SelectionCache(self.config.theta)
            for token in answer_ids:
                part = self._forward(state, [token], None, reuse, votes=votes if fixed else None, fixed=fixed, audit=audit)
                logits.append(part)
                fixed = votes.follow(fixed, self.config) if fixed else None
            return torch.stack(logits)
        finally:
            self._rewind(state, length)

    def _selectable(self, length: int) -> int:
        """How many of the cached tokens a question selects from, the local window included."""
        return length if self._whole_from is None else min(length, self._whole_from + self.config.n_local)

    def _first_reading(self, state: KVState, prompt_ids: list[int]) -> QuestionVotes:
        """Run the question once to vote, and forget it; no votes where it is read once or the context attended as a whole."""
        votes, length = QuestionVotes(self.decoder.last_selecting_layer), state.length
        if self.question_mode == "twice":
            for token in prompt_ids:
                self._forward(state, [token], votes=votes)
            self._rewind(state, length)
        return votes

    def _run_prompt(
        self,
        state: KVState,
        prompt_ids: list[int],
        observe: Observer | None,
        fixed: Selection | None,
        audit: Audit | None = None,
    ) -> torch.Tensor:
        size = self.config.chunk if self.question_mode == "chunk" else 1
        logits = torch.empty(0)
        for start in range(0, len(prompt_ids), size):
            last = start + size >= len(prompt_ids)
            watched = (observe, audit) if last else (None, None)
            logits = self._forward(state, prompt_ids[start : start + size], watched[0], fixed=fixed, audit=watched[1])
        return logits

    def _forward(
        self,
        state: KVState,
        token_ids: list[int],
        observe: Observer | None = None,
        reuse: SelectionCache | None = None,
        *,
        votes: QuestionVotes | None = None,
        fixed: Selection | None = None,
        audit: Audit | None = None,
    ) -> torch.Tensor:
        run = AttentionRun(
            state,
            self.decoder.rotator,
            self.config,
            reuse=reuse,
            votes=votes,
            fixed=fixed,
            dense=self._dense,
            observe=observe,
            guard=self.guard,
            audit=audit,
            whole_from=self._whole_from,
            weigh=self.decoder.last_selecting_layer,
            without=self._without,
        )
        logits = self.decoder.forward(torch.tensor(token_ids, device=self.decoder.device), run)
        assert logits is not None
        return logits

    def _rewind(self, state: KVState, length: int) -> None:
        state.rewind(length)
        if self._dense is not None:
            self._dense.crop(length)
