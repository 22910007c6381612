"""A conversation over a library: the documents' pages as they are, questions and answers in a tail on top of them.

Knows how turns follow each other; the session and its strategy do the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, Protocol, TypeVar

from tscli.answer.decode import Sampling
from tscli.answer.session_strategy import SessionStrategy
from tscli.errors import UsageError, WindowFull
from tscli.model.decoder import Decoder
from tscli.tokens import Context, Prompt, Template, Tokenizer


class AnswerTokens(Protocol):
    """The tokens of a question and of the answer to it, as far as that got: with thoughts, and what was shown without them.

    withdrawn: it can no longer be answered.
    """

    prompt_ids: list[int]
    token_ids: list[int]
    withdrawn: bool

    @property
    def shown_ids(self) -> list[int]: ...


StreamT_co = TypeVar("StreamT_co", bound=AnswerTokens, covariant=True)


class ChatSession(Protocol[StreamT_co]):
    """What a conversation needs of a session."""

    decoder: Decoder
    tokenizer: Tokenizer
    template: Template
    context: Context

    def ask(self, question: str, *, max_new_tokens: int, temperature: float, top_p: float, seed: int | None) -> StreamT_co: ...

    def stream(
        self, strategy: SessionStrategy, question: str, prompt: Prompt, max_new_tokens: int, sampling: Sampling
    ) -> StreamT_co: ...


@dataclass(frozen=True)
class _Asked(Generic[StreamT_co]):
    """A question: its stream, the state's length before it, what the model had not run by then, and the question's tokens as
    they stand before an answer that was thought out."""

    stream: StreamT_co
    before: int
    unread: list[int]
    answered: list[int]


class Chat(Generic[StreamT_co]):
    """Questions that may refer to earlier ones. Made by `Session.chat`; nothing of it is written to disk.

    The whole conversation is attended to, along with what is selected of the documents. `follows_up` is False for a model whose
    chat template has no further turns: each question is then asked independently. Thoughts before an answer are forgotten with
    the next question: the earlier questions and answers are then run again without them.
    """

    def __init__(self, session: ChatSession[StreamT_co], strategy: SessionStrategy) -> None:
        self._session = session
        self._strategy = strategy
        self._asked: _Asked[StreamT_co] | None = None  # last, until it is known what became of it
        self._unread: list[int] = []  # what the conversation has said and the model has not run yet: an answer's last token

    @property
    def follows_up(self) -> bool:
        """Whether the model's chat template lets a question follow an answer."""
        return self._session.template.turn is not None

    @property
    def tokens(self) -> int:
        """Tokens of the conversation so far; they count against the model's window."""
        self._settle()
        return self._strategy.state.tail_tokens + len(self._unread)

    @property
    def room(self) -> int:
        """Tokens that the conversation may have: the model's window without what is selected of the documents."""
        session, total = self._session, int(self._session.context.token_ids.shape[0])
        return session.decoder.window - self._strategy.most_attended(total)

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> StreamT_co:
        """The answer as `Session.ask` gives it; question and answer become part of the conversation.

        An answer that is stopped early stays in it as far as it was shown. An earlier stream that was not iterated over by then
        can no longer be. Raises WindowFull if the conversation, this question and an answer of `max_new_tokens` do not fit in
        the model's window together; nothing is cut.
        """
        sampling = Sampling(temperature, top_p, seed)
        check_question(question, max_new_tokens)
        if not self.follows_up:
            return self._session.ask(question, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        if self._strategy.is_busy:
            raise UsageError("another answer of this chat is still streaming; finish it first")
        spoken = self.tokens
        template, tokenizer = self._session.template, self._session.tokenizer
        prompt = template.prompt(tokenizer, question.strip(), follow_up=spoken > 0)
        answered = template.question_ids(tokenizer, question.strip(), follow_up=spoken > 0, answered=True)
        self._check_room(spoken, len(prompt.ids), max_new_tokens)
        before = self._strategy.state.length
        stream = self._session.stream(self._strategy, question, prompt.behind(self._unread), max_new_tokens, sampling)
        self._withdraw()
        lead = tokenizer.encode_text([template.lead])[0].ids.tolist() if template.lead else []
        self._asked = _Asked(stream, before, self._unread, [*self._unread, *answered, *lead])
        return stream

    def reset(self) -> None:
        """Forget the conversation; the documents stay."""
        if self._strategy.is_busy:
            raise UsageError("an answer of this chat is still streaming; finish it first")
        self._withdraw()
        self._unread = []
        self._strategy.rewind()

    def close(self) -> None:
        """Release the mapped pages; closing the session does this, too."""
        self._withdraw()
        self._unread = []
        self._strategy.close()

    def _withdraw(self) -> None:
        """The last stream can no longer be iterated over."""
        if self._asked is not None:
            self._asked.stream.withdrawn, self._asked = True, None

    def _settle(self) -> None:
        """Take in how far the last answer got: what was said and not run goes before the next question."""
        if self._asked is None or self._strategy.is_busy:
            return
        asked, state = self._asked, self._strategy.state
        stream, shown = asked.stream, asked.stream.shown_ids
        if state.length == asked.before and not stream.token_ids:
            return
        self._withdraw()
        if not shown:
            self._strategy.rewind(asked.before)
            self._unread = asked.unread
        elif stream.token_ids[: len(shown)] == shown:
            said = [*stream.prompt_ids, *shown]
            self._strategy.rewind(min(state.length, asked.before + len(said)))
            self._unread = said[state.length - asked.before :]
        else:  # it was thought out
            self._strategy.rewind(asked.before)
            self._unread = [*asked.answered, *self._without_blanks(shown)]

    def _without_blanks(self, ids: list[int]) -> list[int]:
        """An answer's tokens without the blank ones that stood between it and a thought."""
        blank = takewhile(lambda index: not self._session.tokenizer.decode([index]).strip(), ids)
        return ids[len(list(blank)) :]

    def _check_room(self, spoken: int, question: int, max_new_tokens: int) -> None:
        over = spoken + question + max_new_tokens - self.room
        if over <= 0:
            return
        window = self._session.decoder.window
        parts = f"this question ({question:,} tokens) and an answer of up to {max_new_tokens:,}"
        taken = f"along with {window - self.room:,} tokens of the documents"
        if spoken:
            raise WindowFull(
                f"the conversation has {spoken:,} tokens; with {parts} it is {over:,} more than fit in the model's window of "
                f"{window:,} {taken}; /reset begins a new one"
            )
        raise WindowFull(
            f"{parts} are {over:,} tokens more than fit in the model's window of {window:,} {taken}; shorten the "
            "question, or choose a smaller --max-new-tokens or --k"
        )


def check_question(question: str, max_new_tokens: int) -> None:
    """UsageError for a question without words or of broken ones, or an answer without room."""
    if not question.strip():
        raise UsageError("the question is empty; give one in quotes")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the question is not UTF-8; type it again, or save it as UTF-8") from error
    if max_new_tokens < 1:
        raise UsageError(f"max-new-tokens must be at least 1, got {max_new_tokens}")
