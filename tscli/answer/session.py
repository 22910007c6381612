"""Questions to a library: open once, then for each question run its tokens over the cached pages and decode the answer.

The cache is after a question as it was before: what a question adds lives in the state's tail and is cropped. A chat has a
tail of its own, where questions and answers stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from weakref import WeakSet

from tscli.answer.availability import check_open
from tscli.answer.calibration.store import choose_retrieval_heads
from tscli.answer.chat import Chat, check_question
from tscli.answer.coverage import remember
from tscli.answer.decode import Sampling
from tscli.answer.engine import Engine, Request
from tscli.answer.passages import PassageFinder
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.answer.session_strategy import SessionStrategy
from tscli.answer.statistics import Answer
from tscli.answer.stream import Stream
from tscli.answer.token_select_strategy import QuestionMode, TokenSelectStrategy, checked_mode
from tscli.errors import UsageError, WindowFull
from tscli.library.layout import fingerprint_of
from tscli.library.open_library import OpenLibrary, open_libraries, state_of
from tscli.library.own_settings import own_model
from tscli.model.decoder import Decoder
from tscli.model.gguf_header import OnStep
from tscli.model.load import LoadOptions, fast_dtype, load_decoder
from tscli.selection.config import SelectionConfig, SelectionOptions, resolve
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.store import Fingerprint, mark_used
from tscli.tokens import (
    Context,
    Prompt,
    Template,
    Tokenizer,
    known_tokenizer,
    load_tokenizer,
    template_of,
)
from tscli_kernels import compiled


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
        retrieval_heads: RetrievalHeads | None = None,
    ) -> None:
        self.opened = opened
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.template = template
        self.config = config
        self.context: Context = opened.context
        state = state_of(opened, decoder)
        self.strategy: SessionStrategy
        if retrieval_heads is None:
            self.strategy = TokenSelectStrategy(decoder, state, config, question_mode, template.end_ids, dense)
        else:
            self.strategy = RetrievalStrategy(
                decoder, state, retrieval_heads, PassageFinder(self.context, tokenizer), template.end_ids
            )
        self._chats: WeakSet[Chat[Stream]] = WeakSet()
        self.engine = Engine(decoder)
        self.load_s = time.perf_counter() - started

    @property
    def library(self) -> str:
        """The library's name; of several, all of them."""
        return self.opened.name

    @property
    def model_name(self) -> str:
        """The model's hub id, short name, folder or .gguf file, or "reader"."""
        return self.decoder.model_id

    @cached_property
    def folded_text(self) -> str:
        """The text of the whole context, case-folded; decoded once, for what tokens alone cannot tell."""
        return self.tokenizer.decode(self.context.token_ids.tolist()).casefold()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the mapped pages."""
        for chat in self._chats:
            chat.close()
        self.strategy.close()

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

        excluded: spans [start, end) of the context that are not attended to, to see whether an answer needs them. The answer
        gets no longer than the model's window allows; WindowFull where the question leaves no room for one.
        """
        prompt = self.prompt(question, max_new_tokens)
        most, sampling = min(max_new_tokens, self._room(self.strategy, prompt)), Sampling(temperature, top_p, seed)
        return Stream(self, self.strategy, question, prompt, most, sampling, excluded)

    def ask_concurrently(
        self, question: str, earlier: Sequence[tuple[str, str]] = (), *, max_new_tokens: int, sampling: Sampling
    ) -> Stream:
        """As `ask`, with a state of its own: any number of these streams may be open, run by `Stream.begin` and `Engine.step`.

        earlier: questions and answers of the conversation before it, which are run again in front of the question; ignored
        where the model's chat template has no further turns. The answer gets no longer than the model's window allows;
        WindowFull where the question leaves no room for one.
        """
        earlier = earlier if self.template.turn is not None else ()
        check_question(question, max_new_tokens)
        prompt = self.template.prompt(self.tokenizer, question.strip(), follow_up=bool(earlier)).behind(self._spoken(earlier))
        strategy = self._another_strategy(conversation=bool(earlier))
        return Stream(self, strategy, question, prompt, min(max_new_tokens, self._room(strategy, prompt)), sampling)

    def _room(self, strategy: SessionStrategy, prompt: Prompt) -> int:
        """How many tokens an answer may have; WindowFull where it is none."""
        attended = strategy.most_attended(int(self.context.token_ids.shape[0])) if strategy.attends_all_said else 0
        room = self.decoder.window - attended - len(prompt.ids)
        if room < 1:
            before, way_out = (" with what was said before it", ", or start a new conversation") if prompt.spoken else ("", "")
            documents = f" along with {attended:,} of the documents" if attended else ""
            raise WindowFull(
                f"the question has {len(prompt.ids):,} tokens{before}, {1 - room:,} more than fit in the model's window of "
                f"{self.decoder.window:,}{documents}; shorten the question{way_out}"
            )
        return room

    def _spoken(self, earlier: Sequence[tuple[str, str]]) -> list[int]:
        """A conversation's tokens, as a chat has them in which nothing was thought."""
        ids, template = list[int](), self.template
        for number, (question, answer) in enumerate(earlier):
            ids += template.question_ids(self.tokenizer, question.strip(), follow_up=number > 0)
            ids += self.tokenizer.encode_section((" " if template.lead else "") + answer.strip(), ids)
        return ids

    def prompt(self, question: str, max_new_tokens: int = 1) -> Prompt:
        """The tokens that are run for a question, the template's included; UsageError for a question that is empty, not
        UTF-8, or longer than the model's window.
        """
        check_question(question, max_new_tokens)
        prompt = self.template.prompt(self.tokenizer, question.strip())
        if (over := len(prompt.ids) - self.decoder.window) > 0:
            window = f"the model's window of {self.decoder.window:,}"
            raise UsageError(f"the question has {len(prompt.ids):,} tokens, {over:,} more than {window}; shorten it")
        return prompt

    def prompt_ids(self, question: str, max_new_tokens: int = 1) -> list[int]:
        """The tokens of `prompt`."""
        return list(self.prompt(question, max_new_tokens).ids)

    def chat(self) -> Chat[Stream]:
        """A conversation over the library: a question may refer to earlier questions and answers. See `Chat`.

        Several conversations may be open; neither they nor `ask` see each other's questions.
        """
        chat = Chat(self, self._another_strategy(conversation=True))
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
        """The answers to questions, in their order, `batch_size` of them generated at a time.

        The model's weights are read once for the whole batch. The answers are those of `ask`, see `Decoder.forward_batch`;
        their times are those of the batch. UsageError for dense attention, of which each question would need a copy of the
        keys.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        if self.strategy.is_dense:
            raise UsageError("questions cannot be batched over full attention; leave out --dense or --batch-size")
        sampling, streams = Sampling(temperature, top_p, seed), dict[Request, Stream]()

        def begun() -> Iterator[Request]:
            for question in questions:
                prompt = self.prompt(question, max_new_tokens)
                strategy = self._another_strategy()
                most = min(max_new_tokens, self._room(strategy, prompt))
                stream = Stream(self, strategy, question, prompt, most, sampling)
                request = stream.begin()
                streams[request] = stream
                yield request

        with closing(self.engine.generate(begun(), batch_size)) as made:
            for request, token in made:
                if token is not None:
                    streams[request].push(token)
                    continue
                streams[request].finish()
                while (first := next(iter(streams), None)) is not None and streams[first].is_finished:
                    yield streams.pop(first).answer

    def _another_strategy(self, conversation: bool = False) -> SessionStrategy:
        """One with a tail of its own, over the same pages. UsageError where the session is closed."""
        check_open(self.strategy.is_closed)
        return self.strategy.another(self.strategy.state.beside(), conversation)

    def remember(self, answer: Answer) -> None:
        """Add an answer to each library's history, which `tscli.coverage` reads; OSError where it cannot be written."""
        for name, stored in zip(self.opened.names, self.opened.libraries, strict=True):
            own = [source for source in answer.sources if source.library in ("", name)]
            remember(stored.folder, stored.manifest, replace(answer, sources=own))

    def stream(
        self, strategy: SessionStrategy, question: str, prompt: Prompt, max_new_tokens: int, sampling: Sampling
    ) -> Stream:
        """The answer to these prompt tokens by this strategy; `ask` and `Chat.ask` prepare them from a question."""
        return Stream(self, strategy, question, prompt, max_new_tokens, sampling)


def open_library(
    library: str | Sequence[str] = "default",
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    question_mode: QuestionMode | None = None,
    dense: bool = False,
    think: bool = False,
    voters: str | None = None,
    decoder: Decoder | None = None,
    lasting: bool = True,
    on_step: OnStep | None = None,
) -> Session:
    """Open a library for questions with the model that made it, or with `load.model`, which must be the same model.

    library: a name, or several, which are joined to one context: libraries of independent documents by the same model.
        Documents that several of them hold count once.
    question_mode: "token" (each token of the question selects), "chunk" (their mean query does, as in the paper) or
        "two_pass" (the question is read, votes, and is read again attending to what it selected); None: the model's own, or
        "token".
    voters: "calibrated" (a few retrieval heads find passages) or "all" (all heads vote at each token, as in the paper; a
        question mode implies it); None: the model's own, or "calibrated".
    think: let the model think before it answers, if it can; its thoughts are no part of the answer's text or evidence.
    decoder: the model, if it is already loaded, as `own_options` describes it.
    lasting: more than one question will be asked, so that half a second is well spent on what makes answers faster.
    on_step: called with what is done that takes long with a model's first library, how much of it, and of how much.
    Raises LibraryError for a library that does not exist, is damaged, was made by another model or settings, or cannot be
    joined.
    """
    started = time.perf_counter()
    opened = open_libraries([library] if isinstance(library, str) else library)
    manifest = opened.libraries[0].manifest
    fingerprint = manifest.fingerprint
    load = own_options(load, fingerprint)
    # compiled loops take so many tokens' keys, so that they are loaded in any case
    lasting = lasting or sum(stored.manifest.num_tokens for stored in opened.libraries) >= compiled.FROM_TOKENS
    decoder = decoder or load_decoder(load, on_step, lasting=lasting)
    template = Template.of_record(manifest.template)
    tokenizer = known_tokenizer(decoder.folder, fingerprint.tokenizer_hash) if template else None
    if tokenizer is None or template is None:
        tokenizer = load_tokenizer(str(decoder.folder))
        template = template_of(manifest.template, tokenizer)
    if think:
        template = template.thinking()
    # what full weights read in one dtype may be asked with int8 ones or in another dtype: it is the same model
    kinds = {"kv_dtype": fingerprint.kv_dtype, "weights": fingerprint.weights, "dtype": fingerprint.dtype}
    manifest.check(fingerprint_of(decoder, tokenizer, fingerprint.prefill, load.revision, **kinds))
    config = resolve(selection, decoder.selection_defaults, decoder.window)
    mode = checked_mode(question_mode or decoder.question_default)
    for stored in opened.libraries:
        mark_used(stored.folder)
    who = "all" if dense or question_mode is not None else voters
    chosen = choose_retrieval_heads(who, decoder, tokenizer, template, on_step)
    return Session(opened, decoder, tokenizer, template, config, mode, dense, started, chosen)


def own_options(load: LoadOptions, own: Fingerprint) -> LoadOptions:
    """How the model is loaded that a library is asked with: as it was made, but for what is asked for, and but for bfloat16
    where the processor does not multiply it, such as that of another machine than the library's."""
    if load.model is None:
        load = own_model(load, own)
    if load.dtype == "auto":
        load = replace(load, dtype=fast_dtype(own.dtype, load.device))
    return replace(load, weights=own.weights or "auto") if load.weights == "auto" else load
