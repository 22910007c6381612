"""Questions to a library: open once, then for each question run its tokens over the cached pages and decode the answer.

The cache is after a question as it was before: what a question adds lives in the state's tail and is cropped. A chat has a
tail of its own, where questions and answers stay.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from weakref import WeakSet

import numpy as np
import torch

from tscli.answer.asker import Asker, QuestionMode, checked_mode
from tscli.answer.batching import ForwardRequest, Steps, resume, run_alone, run_batch
from tscli.answer.calibration.store import choose_voters
from tscli.answer.chat import Chat, check_question
from tscli.answer.coverage import remember
from tscli.answer.decode import Sampling
from tscli.answer.names import missing_names
from tscli.answer.passages import PassageFinder
from tscli.answer.statistics import Answer, Fidelity, QuestionReading, Recorder, Source, Statistics, mean
from tscli.answer.token_attribution import TokenAttribution
from tscli.answer.voting_asker import Reading, VotingAsker
from tscli.errors import UsageError
from tscli.library.layout import fingerprint_of
from tscli.library.open_library import OpenLibrary, open_libraries, state_of
from tscli.library.storage_format import own_model
from tscli.model.decoder import Decoder
from tscli.model.load import LoadOptions, load_decoder
from tscli.selection.config import SelectionConfig, SelectionOptions, resolve
from tscli.selection.voters import Voters
from tscli.store import mark_used
from tscli.tokens import (
    Context,
    Prompt,
    Settled,
    State,
    StreamDecoder,
    Template,
    Tokenizer,
    known_tokenizer,
    load_tokenizer,
    template_of,
)

NOT_FOUND = "Not in the documents."


class Session:
    """An open library with its model. Use it as a context manager; ask as often as you like."""

    def __init__(
        self,
        opened: OpenLibrary,
        decoder: Decoder,
        tokenizer: Tokenizer,
        template: Template,
        config: SelectionConfig,
        question_mode: QuestionMode,
        dense: bool,
        started: float,
        voters: Voters | None = None,
    ) -> None:
        self.opened = opened
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.template = template
        self.config = config
        self.context: Context = opened.context
        state = state_of(opened, decoder)
        self.asker: Asker | VotingAsker
        if voters is None:
            self.asker = Asker(decoder, state, config, question_mode, template.end_ids, dense)
        else:
            self.asker = VotingAsker(decoder, state, voters, PassageFinder(self.context, tokenizer), template.end_ids)
        self._chats: WeakSet[Chat[Stream]] = WeakSet()
        self.load_s = time.perf_counter() - started

    @property
    def library(self) -> str:
        """The library's name; of several, all of them."""
        return self.opened.name

    @property
    def model_name(self) -> str:
        """The model's hub id, short name, folder or .gguf file, or "reader"."""
        return self.decoder.model_id

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the mapped pages."""
        for chat in self._chats:
            chat.close()
        self.asker.close()

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        excluded: Sequence[tuple[int, int]] = (),
    ) -> Stream:
        """The answer as a stream of text pieces; its `answer` is complete once the stream is exhausted.

        excluded: spans [start, end) of the context that are not attended to, to see whether an answer needs them.
        """
        prompt = self.prompt(question, max_new_tokens)
        sampling = Sampling(temperature, top_p, seed)
        return Stream(self, self.asker, question, prompt, max_new_tokens, sampling, excluded)

    def prompt(self, question: str, max_new_tokens: int = 1) -> Prompt:
        """The tokens that are run for a question, the template's among them; UsageError where it cannot be asked: it is empty,
        no UTF-8, or longer than the model's window."""
        check_question(question, max_new_tokens)
        prompt = self.template.prompt(self.tokenizer, question.strip())
        if (over := len(prompt.ids) - self.decoder.window) > 0:
            window = f"the model's window of {self.decoder.window:,}"
            raise UsageError(f"the question has {len(prompt.ids):,} tokens, {over:,} more than {window}; ask for less")
        return prompt

    def prompt_ids(self, question: str, max_new_tokens: int = 1) -> list[int]:
        """The tokens of `prompt`."""
        return list(self.prompt(question, max_new_tokens).ids)

    def chat(self) -> Chat[Stream]:
        """A conversation over the library: a question may refer to earlier questions and answers. See `Chat`.

        Several may go on at a time; neither they nor `ask` see each other's questions.
        """
        chat = Chat(self, self._another_asker(conversation=True))
        self._chats.add(chat)
        return chat

    def ask_batch(
        self,
        questions: Iterable[str],
        batch_size: int,
        *,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> Iterator[Answer]:
        """The answers to questions that go through the model in step with each other, so many at a time, in their order.

        The model's weights are read once for all of them. Answers are those of `ask`, but for rounding; their times are those
        of the whole company. UsageError where the context is attended as a whole, which each would need a copy of.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        if self.asker.is_dense:
            raise UsageError("questions cannot be batched over full attention; leave out --dense or --batch-size")
        streams, sampling = deque[Stream](), Sampling(temperature, top_p, seed)

        def begun() -> Iterator[Steps[str, None]]:
            for question in questions:
                prompt = self.prompt(question, max_new_tokens)
                stream = Stream(self, self._another_asker(), question, prompt, max_new_tokens, sampling)
                streams.append(stream)
                yield stream.steps()

        ended, told = set[int](), 0
        for number in run_batch(begun(), self.decoder, batch_size):
            ended.add(number)
            while told in ended:
                yield streams.popleft().answer
                told += 1

    def _another_asker(self, conversation: bool = False) -> Asker | VotingAsker:
        """One with a tail of its own, over the same pages."""
        state, own = self.decoder.new_state(self.asker.state.segments), self.asker
        state.sketch, state.wait_for_layer = own.state.sketch, own.state.wait_for_layer
        if isinstance(own, VotingAsker):
            return own.another(state, conversation)
        ends = self.template.end_ids
        asker = Asker(self.decoder, state, self.config, own.question_mode, ends, own.is_dense, conversation=conversation)
        asker.guard, asker.captures = own.guard, False  # a graph each, and questions one after the other, would not pay
        return asker

    def remember(self, answer: Answer) -> None:
        """Add an answer to each library's history, which `tscli.coverage` reads; OSError where it cannot be written."""
        for name, stored in zip(self.opened.names, self.opened.libraries, strict=True):
            own = [source for source in answer.sources if source.library in ("", name)]
            remember(stored.folder, stored.manifest, replace(answer, sources=own))

    def stream(
        self, asker: Asker | VotingAsker, question: str, prompt: Prompt, max_new_tokens: int, sampling: Sampling
    ) -> Stream:
        """The answer to these prompt tokens by this asker; `ask` and `Chat.ask` make them of a question."""
        return Stream(self, asker, question, prompt, max_new_tokens, sampling)


class Stream:
    """Text pieces of one answer, as they are made."""

    def __init__(
        self,
        session: Session,
        asker: Asker | VotingAsker,
        question: str,
        prompt: Prompt,
        max_new_tokens: int,
        sampling: Sampling,
        excluded: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._session = session
        self._asker = asker
        self._question = question
        self._sampling = sampling
        self._excluded = excluded
        self._answer: Answer | None = None
        self.context = session.context
        first = asker.finder.first if isinstance(asker, VotingAsker) else session.config.n_init
        self.recorder = Recorder(session.context.token_ids.shape[0], first)
        self.prompt = prompt
        self.prompt_ids = list(prompt.ids)
        self.token_ids: list[int] = []  # all that was made so far
        self.answer_ids: list[int] = []  # those of the answer, without thoughts
        self._missing: list[str] = []
        self.thoughts = ""
        self.on_thought: Callable[[str], None] | None = None  # hears thoughts as they come
        self._behind = None if asker is session.asker else asker.state.length  # where a conversation stood
        self._max_new_tokens = max_new_tokens
        self._run_before = asker.state.tokens_run

    @property
    def answer(self) -> Answer:
        """The whole answer with statistics and sources; UsageError before the stream is exhausted."""
        if self._answer is None:
            raise UsageError("the answer is not complete yet: iterate over the stream to its end first")
        return self._answer

    def __iter__(self) -> Generator[str, None, None]:
        """The pieces; closing the generator (or an interrupt) ends the answer there."""
        return run_alone(self.steps(), self._session.decoder)

    def steps(self) -> Steps[str, None]:
        """As iterating, for whoever runs the model."""
        session, started = self._session, time.perf_counter()
        if self._behind not in (None, self._asker.state.length) and not self._asker.is_busy:
            raise UsageError("the conversation has gone on since this question was put; ask it again")
        self._run_before = self._asker.state.tokens_run
        decoder, times = StreamDecoder(session.tokenizer), []
        splitter = session.template.splitter(session.tokenizer)
        self.recorder.take(splitter.state)
        ids, self.answer_ids, self.thoughts, text = list[int](), [], "", ""
        self.token_ids = ids
        how = (self._sampling, self._max_new_tokens, self.recorder, self._left_out())
        missing = self._missing = self._missing_names()
        made: Steps[int, None] = (
            _as_steps(self._asker.steps(self.prompt, *how, answers=not missing))
            if isinstance(self._asker, VotingAsker)
            else self._asker.steps(self.prompt_ids, *how)
        )
        with closing(made):
            item = next(made, None)
            while item is not None:
                if isinstance(item, ForwardRequest):
                    logits = yield item
                    item = resume(made, logits)
                    continue
                times.append(time.perf_counter())
                ids.append(item)
                if piece := self._started(text, self._settled(splitter.push(item), splitter.state, decoder)):
                    text += piece
                    yield piece
                item = next(made, None)
        rest = self._settled(splitter.flush(), splitter.state, decoder) + decoder.flush() + self._refused()
        if piece := self._started(text, rest):
            text += piece
            yield piece
        self._answer = self._finish(text, ids, times, started)

    def _settled(self, settled: Settled, state: State, decoder: StreamDecoder) -> str:
        """Take in the tokens that are known now to be of the answer, or of a thought; the text that they add to the answer."""
        if settled.ids:
            self.recorder.settle(counts=not settled.thought)
        self.recorder.take(state)
        if settled.thought:
            said = settled.said if self.thoughts else settled.said.lstrip()
            self.thoughts += said
            if said and self.on_thought is not None:
                self.on_thought(said)
            return ""
        self.answer_ids += settled.ids
        return "".join(map(decoder.push, settled.ids))

    def _refused(self) -> str:
        """What is said where no passage answers the question; the nearest ones are what it drew on."""
        reading = self._asker.reading if isinstance(self._asker, VotingAsker) else None
        if reading is None or reading.answered:
            return ""
        self.recorder.add(nearest(reading))
        return f"{NOT_FOUND} Nothing there is named {' or '.join(self._missing)}." if self._missing else NOT_FOUND

    def _missing_names(self) -> list[str]:
        """Names that only the question has; later in a conversation they may be of what was said before."""
        asker = self._asker
        if not isinstance(asker, VotingAsker) or asker.state.length > asker.state.committed:
            return []
        return missing_names(self._question, self.context, self._session.tokenizer)

    def _left_out(self) -> torch.Tensor | None:
        spans = [torch.arange(start, end, device=self._session.decoder.device) for start, end in self._excluded]
        return torch.cat(spans) if spans else None

    @staticmethod
    def _started(text: str, piece: str) -> str:
        """An answer begins with its first visible character, which is a capital where one stands there."""
        return piece if text else piece.lstrip()

    def _finish(self, text: str, ids: list[int], times: list[float], started: float) -> Answer:
        session, asker, ended = self._session, self._asker, time.perf_counter()
        spent = times[-1] - times[0] if len(times) > 1 else 0.0
        layers = self.recorder.layers()
        selecting = [layer for layer in layers if layer.kind == "selected"] or layers
        config, total = session.config, int(session.context.token_ids.shape[0])
        first = times[0] if times else ended
        run = asker.state.tokens_run - self._run_before  # counted where tokens pass through the model
        ended_itself = len(ids) < self._max_new_tokens
        own = asker.own_tokens(len(self.prompt_ids), len(ids) - (0 if ended_itself else 1))
        statistics = Statistics(
            cached_tokens=total,
            recomputed_tokens=run - own,
            prompt_tokens=len(self.prompt_ids),
            generated_tokens=len(ids),
            thought_tokens=len(ids) - len(self.answer_ids),
            load_s=session.load_s,
            question_s=asker.question_read - started,
            first_decode_s=first - asker.question_read,
            ttft_s=first - started,
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
            dense=asker.is_dense,
            question_mode=asker.question_mode,
            stop_reason="end" if ended_itself else "length",
            reading=reading_of(asker),
            scan=asker.scan,
            fidelity=Fidelity.of(asker.guard),
            layers=layers,
            notes=session.decoder.notes,
        )
        sources: list[Source] = self.recorder.sources(session.context)
        attribution = self.recorder.attribution[: max(1, len(self.answer_ids))]
        return Answer(self._question, text.rstrip(), self.answer_ids, statistics, sources, attribution, self.thoughts.rstrip())


def _as_steps(made: Generator[int, None, None]) -> Steps[int, None]:
    """Tokens of one who runs the model by himself."""
    yield from made


def nearest(reading: Reading) -> TokenAttribution:
    """The passages of a question that nothing answers, as if its answer had drawn on each of their tokens alike."""
    spans = sorted((passage.start, passage.end) for passage in reading.passages)
    positions = np.concatenate([np.arange(start, end) for start, end in spans]) if spans else np.zeros(0, np.int64)
    shares = np.full(positions.shape, 1.0 / max(1, positions.shape[0]), dtype=np.float32)
    return TokenAttribution(positions.astype(np.int64), shares, 0.0, 0.0, 0.0)


def reading_of(asker: Asker | VotingAsker) -> QuestionReading | None:
    """What the statistics say of how a question was read; None where each token selects for itself."""
    if not isinstance(asker, VotingAsker) or asker.reading is None:
        return None
    reading, heads = asker.reading, asker.voters.heads
    group, decoder = asker.decoder.q_heads // asker.decoder.kv_heads, asker.decoder
    scanned = len({(layer, head // group) for layer, head in heads}) / (decoder.layers * decoder.kv_heads)
    passages = [(passage.start, passage.end) for passage in reading.passages]
    return QuestionReading([list(head) for head in heads], scanned, passages, list(reading.gains), reading.answered)


def open_library(
    library: str | Sequence[str] = "default",
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    question_mode: QuestionMode | None = None,
    dense: bool = False,
    think: bool = False,
    voters: str | None = None,
) -> Session:
    """Open a library for questions with the model that made it, or with `load.model`, which must be the same one.

    library: a name, or several, which become one context: libraries of independent documents by the same model. The documents
    of each come behind those of the ones before; what an earlier one holds is left out.
    question_mode: "token" (each token of the question selects), "chunk" (their mean, as in the paper) or "two_pass" (the
    question is read, votes, and is read again beside what it chose); None: the model's own, or "token".
    voters: "calibrated" (a few heads find passages) or "all" (each token selects by all heads, as in the paper; a question mode
    asks for that, too); None: the model's own, or "calibrated".
    think: let the model think before it answers, where it can; thoughts are no part of the answer's text or evidence.
    Raises LibraryError when there is none, it is damaged, it was made by another model or settings, or cannot be joined.
    """
    started = time.perf_counter()
    opened = open_libraries([library] if isinstance(library, str) else library)
    manifest = opened.libraries[0].manifest
    fingerprint = manifest.fingerprint
    if load.model is None:
        load = own_model(load, fingerprint)
    if load.dtype == "auto":
        load = replace(load, dtype=fingerprint.dtype)
    if load.weights == "auto":
        load = replace(load, weights=fingerprint.weights or "auto")
    decoder = load_decoder(load)
    template = Template.of_record(manifest.template)
    tokenizer = known_tokenizer(decoder.folder, fingerprint.tokenizer_hash) if template else None
    if tokenizer is None or template is None:
        tokenizer = load_tokenizer(str(decoder.folder))
        template = template_of(manifest.template, tokenizer)
    if think:
        template = template.thinking()
    kinds = {"kv_dtype": fingerprint.kv_dtype, "weights": fingerprint.weights}  # int8 weights may ask of what full ones read
    manifest.check(fingerprint_of(decoder, tokenizer, fingerprint.prefill, load.revision, **kinds))
    config = resolve(selection, decoder.selection_defaults, decoder.window)
    mode = checked_mode(question_mode or decoder.question_default)
    for stored in opened.libraries:
        mark_used(stored.folder)
    who = "all" if dense or question_mode is not None else voters
    chosen = choose_voters(who, decoder, tokenizer, template)
    return Session(opened, decoder, tokenizer, template, config, mode, dense, started, chosen)
