"""One answer while it is generated: its tokens become text and thoughts, and what they attended to is recorded.

Knows the session that it belongs to and its tokenizer; who runs the model hands in the tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Protocol

import numpy as np
import torch

from tscli.answer.availability import check_free, check_open
from tscli.answer.confidence import confidence
from tscli.answer.decode import Sampler, Sampling
from tscli.answer.engine import Engine, Request
from tscli.answer.mixture import weights_of
from tscli.answer.names import missing_names
from tscli.answer.question_tokens import QuestionTokens
from tscli.answer.session_strategy import SessionStrategy
from tscli.answer.statistics import Answer, Fidelity, QuestionReading, Recorder, Statistics, mean
from tscli.answer.token_attribution import TokenAttribution
from tscli.answer.words import QuestionWords
from tscli.errors import UsageError
from tscli.model.decoder import Decoder
from tscli.selection.config import SelectionConfig
from tscli.tokens import Context, Prompt, Settled, State, StreamDecoder, Template, Tokenizer

NOT_FOUND = "Not in the documents."
UNGROUNDED = "Found no answer in the documents."


class StreamSession(Protocol):
    """What a stream needs of a session."""

    decoder: Decoder
    tokenizer: Tokenizer
    template: Template
    config: SelectionConfig
    context: Context
    strategy: SessionStrategy
    engine: Engine
    load_s: float

    @property
    def folded_text(self) -> str: ...


class Stream:
    """Text pieces of one answer, as they are made."""

    def __init__(
        self,
        session: StreamSession,
        strategy: SessionStrategy,
        question: str,
        prompt: Prompt,
        max_new_tokens: int,
        sampling: Sampling,
        excluded: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._session = session
        self._strategy = strategy
        self._question = question
        self._sampling = sampling
        self._excluded = excluded
        self._answer: Answer | None = None
        self.context = session.context
        self.recorder = self._new_recorder()
        self.prompt = prompt
        self.prompt_ids = list(prompt.ids)
        self.token_ids: list[int] = []  # all that was made so far
        self.answer_ids: list[int] = []  # those of the answer, without thoughts
        self.thoughts = ""
        self.withdrawn = False  # whether the conversation has moved on without it
        self.on_thought: Callable[[str], None] | None = None  # hears thoughts as they come
        self._behind = None if strategy is session.strategy else strategy.state.length  # where a conversation stood
        self._max_new_tokens = max_new_tokens
        self._shown_ids = 0
        check_open(strategy.is_closed)

    @property
    def shown_ids(self) -> list[int]:
        """The answer's tokens so far whose text was handed out; those that were held back are none."""
        return self.answer_ids[: self._shown_ids]

    @property
    def answer(self) -> Answer:
        """The whole answer with statistics and sources; UsageError before the stream is exhausted."""
        if self._answer is None:
            raise UsageError("the answer is not complete yet: iterate over the stream to its end first")
        return self._answer

    @property
    def is_finished(self) -> bool:
        """Whether the stream is exhausted."""
        return self._answer is not None

    def __iter__(self) -> Generator[str, None, None]:
        """The pieces; closing the generator (or an interrupt) ends the answer there."""
        with closing(self._session.engine.answer(self.begin())) as tokens:
            yield from filter(None, map(self.push, tokens))
        if piece := self.finish():
            yield piece

    def begin(self) -> Request:
        """The request to run; pass each of its tokens to `push`. UsageError if the conversation has moved on, or the session is
        closed."""
        strategy, tokenizer = self._strategy, self._session.tokenizer
        self._started = time.perf_counter()
        check_free(strategy.is_closed, strategy.is_busy)
        if self.withdrawn or self._behind not in (None, strategy.state.length):
            raise UsageError("the conversation has moved on since this question was asked; ask it again")
        self._run_before = strategy.state.tokens_run
        self._decoder, self._splitter = StreamDecoder(tokenizer), self._session.template.splitter(tokenizer)
        self._answer, self.recorder = None, self._new_recorder()
        self.recorder.take(self._splitter.state)
        self.answer_ids, self.thoughts, self._text, self._times = [], "", "", list[float]()
        self._pieces, self._shown_at, self._shown_ids, self._answer_tokens = list[str](), 0.0, 0, 0
        self._missing = self._missing_names()
        request = Request(
            strategy,
            self.prompt,
            self._max_new_tokens,
            Sampler(self._sampling),
            observe=self.recorder,
            excluded=self._left_out(),
            answerable=not self._missing,
            grounded=self._splitter.state != "thought",  # after a thought nothing is judged
            splitter=self._session.template.splitter(tokenizer),
        )
        self.token_ids = request.token_ids
        return request

    def _new_recorder(self) -> Recorder:
        return Recorder(self.context.token_ids.shape[0], self._strategy.first)

    def push(self, token: int) -> str:
        """Take in the next token; returns what is grounded now of the text and was not before."""
        self._times.append(time.perf_counter())
        self._settle(self._splitter.push(token), self._splitter.state)
        return self._shown(self._strategy.grounded)

    def finish(self, *, cut: bool = False) -> str:
        """End the answer; returns the rest of its text. cut: the reader wants no more, and the latest token has not been
        run.
        """
        strategy = self._strategy
        self._settle(self._splitter.flush(), self._splitter.state)
        rest, piece = self._decoder.flush(), ""
        if strategy.is_none:
            self._pieces, self.answer_ids, rest = [], [], ""
            self.recorder.forget()
        elif strategy.grounded:  # what follows is none of the answer
            piece = self._shown(strategy.grounded)
            if self._pieces:
                self._pieces, self.answer_ids, rest = [], self.shown_ids, ""
            self.recorder.leave_out()
        self._pieces += [rest, self._refused()]
        piece += self._shown(None)
        self._answer = self._told(cut)
        return piece

    def _settle(self, settled: Settled, state: State) -> None:
        """Take in the tokens that are known now to be of the answer, or of a thought."""
        if settled.ids:
            self.recorder.settle(counts=not settled.thought)
        self.recorder.take(state)
        if settled.thought:
            said = settled.said if self.thoughts else settled.said.lstrip()
            self.thoughts += said
            if said and self.on_thought is not None:
                self.on_thought(said)
            return
        self.answer_ids += settled.ids
        self._answer_tokens += len(settled.ids)
        self._pieces += map(self._decoder.push, settled.ids)

    def _shown(self, grounded: int | None) -> str:
        """What was held back of so many of the answer's tokens; None: of all. An answer begins with its first visible
        character."""
        count = None if grounded is None else min(grounded, len(self.answer_ids)) - self._shown_ids
        if count is not None and count <= 0:
            return ""
        held = "".join(self._pieces[:count])
        piece = held if self._text else held.lstrip()
        self._text += piece
        self.recorder.show(count)
        self._shown_ids = len(self.answer_ids) if count is None else self._shown_ids + count
        del self._pieces[:count]
        self._shown_at = self._shown_at or time.perf_counter()
        return piece

    def _refused(self) -> str:
        """What is said where no passage answers the question; the nearest ones are what it drew on."""
        strategy = self._strategy
        reading = strategy.question_reading
        if reading is None or reading.answered:
            return ""
        tokenizer, prompt = self._session.tokenizer, self.prompt
        words = QuestionWords(self.context.token_ids, prompt.ids[prompt.start : prompt.stop], tokenizer)
        self.recorder.add(_nearest(reading, words))
        if strategy.is_none:
            return f"{UNGROUNDED} What comes nearest is about {strategy.namesake}." if strategy.namesake else UNGROUNDED
        return f"{NOT_FOUND} Nothing there is named {' or '.join(self._missing)}." if self._missing else NOT_FOUND

    def _missing_names(self) -> list[str]:
        """Names that only the question has; later in a conversation they may be of what was said before."""
        strategy = self._strategy
        if not strategy.refuses or self.prompt.spoken or strategy.state.length > strategy.state.committed:
            return []
        session = self._session
        return missing_names(self._question, self.context, session.tokenizer, lambda: session.folded_text)

    def _left_out(self) -> torch.Tensor | None:
        spans = [torch.arange(start, end, device=self._session.decoder.device) for start, end in self._excluded]
        return torch.cat(spans) if spans else None

    def _told(self, cut: bool) -> Answer:
        attribution = self.recorder.attribution[: max(1, len(self.answer_ids))]
        sources, thoughts = self.recorder.sources(self.context), self.thoughts.rstrip()
        return Answer(
            self._question, self._text.rstrip(), self.answer_ids, self._statistics(cut), sources, attribution, thoughts
        )

    def _statistics(self, cut: bool) -> Statistics:
        session, strategy, ended = self._session, self._strategy, time.perf_counter()
        started, times, ids = self._started, self._times, self.token_ids
        spent = times[-1] - times[0] if len(times) > 1 else 0.0
        layers = self.recorder.layers()
        selecting = [layer for layer in layers if layer.kind == "selected"] or layers
        config, total = session.config, int(session.context.token_ids.shape[0])
        made, shown = times[0] if times else ended, self._shown_at or ended
        run = strategy.state.tokens_run - self._run_before  # counted where tokens pass through the model
        ended_itself = len(ids) < self._max_new_tokens
        own = strategy.own_tokens(len(self.prompt_ids), len(ids) - (0 if ended_itself and not cut else 1))
        return Statistics(
            cached_tokens=total,
            recomputed_tokens=run - own,
            prompt_tokens=len(self.prompt_ids),
            generated_tokens=len(ids),
            thought_tokens=len(ids) - self._answer_tokens,
            load_s=session.load_s,
            question_s=strategy.question_read - started,
            first_decode_s=made - strategy.question_read,
            ttft_s=max(made, shown) - started,
            decode_tps=(len(times) - 1) / spent if spent else 0.0,
            total_s=ended - started,
            k=config.count(total),
            selected_mean=mean([layer.selected_mean for layer in selecting]),
            attended_mean=mean([layer.attended_mean for layer in selecting]),
            total_tokens=total,
            cache_hit_rate=mean([layer.hit_rate for layer in selecting]),
            pool=config.pool,
            metric=config.metric,
            scale=config.scale,
            theta=config.theta,
            n_init=config.n_init,
            n_local=config.n_local,
            dense=strategy.is_dense,
            question_mode=strategy.question_mode,
            stop_reason="end" if ended_itself else "length",
            reading=strategy.question_reading,
            scan=strategy.scan,
            fidelity=Fidelity.of(strategy.guard),
            layers=layers,
            notes=session.decoder.notes,
            held_s=max(0.0, shown - made),
            confidence=self._confidence(),
        )

    def _confidence(self) -> float | None:
        """Of the answer; None behind thoughts, after which a model says what it has decided."""
        if self._answer_tokens < len(self.token_ids):
            return None
        asked = QuestionTokens(self._session.tokenizer, self.prompt.ids[self.prompt.start : self.prompt.stop])
        return confidence(self.answer_ids, self._strategy.log_probs, asked)


def _nearest(reading: QuestionReading, words: QuestionWords) -> TokenAttribution:
    """The passages of a question that nothing answers, as if its answer had drawn on each of them as far as it fits, and there
    mostly on the question's own words."""
    found = list[tuple[np.ndarray, np.ndarray]]()
    for (start, end), weight in zip(reading.passages, weights_of(reading.gains).exp().tolist(), strict=True):
        heavy = words.weights(start, end)
        heavy = heavy + 0.1 * (float(heavy.max(initial=0.0)) or 1.0)
        found.append((np.arange(start, end), weight * heavy / heavy.sum()))
    if not found:
        return TokenAttribution(np.zeros(0, np.int64), np.zeros(0, np.float32), 0.0, 0.0, 0.0)
    positions, shares = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(positions)
    return TokenAttribution(positions[order].astype(np.int64), shares[order].astype(np.float32), 0.0, 0.0, 0.0)
