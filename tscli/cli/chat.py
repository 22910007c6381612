"""`tscli chat`: question after question to one open library; with arrow keys on a terminal, or one per line from a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import tscli
from tscli.cli import flags
from tscli.cli.answers import note_doubts, show_sources, summary
from tscli.cli.ask import run_stream
from tscli.cli.coverage import remember
from tscli.cli.output import Settings, counted, error_line, fetch_model, safe_line, say, stderr, working
from tscli.cli.prompt import interactive, line_history, read_line
from tscli.cli.settings import without
from tscli.cli.startup import loading
from tscli.errors import TscliError
from tscli.page_cache import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscli import Answer, Chat, Session, Stream

HELP = """/sources  the pages that the last answer's tokens voted for
/stats    what the last answer cost, and how long the conversation is
/reset    forget the conversation; the documents stay
/help     this
/exit     end, as does Ctrl-D; Ctrl-C stops an answer"""
BY_ITSELF = "this model's chat template has no further turns: each question is asked separately and sees no earlier one"


def chat(
    context: typer.Context,
    *,
    library: flags.Libraries,
    top: flags.ChatTop,
    decoding: flags.Decoding,
    no_history: flags.NoChatHistory = False,
    how: Annotated[flags.Question, without("dense")],
    selection: Annotated[flags.Selection, without("chunk")],
    model: flags.LibraryModel,
) -> int:
    """Ask follow-up questions: each may refer to earlier ones, where the model's chat template has turns."""
    settings: Settings = context.obj
    read_ahead(library)
    with loading():
        load = model.options()
        fetch_model(settings, load, library[0])
        with working(settings, flags.opening(library)) as on_step:
            opened = tscli.open_library(library, load, selection.options(), **vars(how), on_step=on_step)
    with opened as session, line_history(settings, None if no_history else tscli.home() / "chat-history"):
        conversation = session.chat()

        def start(text: str) -> Stream:
            return conversation.ask(text, **vars(decoding))

        _greet(settings, session, conversation)
        talk = _Talk(settings, conversation, start, top, None if no_history else session)
        return _typed(talk) if interactive() else _piped(talk)


class _Talk:
    """One conversation as it is shown, with its last whole answer; `keeper` is the session that remembers answers, if any."""

    def __init__(
        self, settings: Settings, chat: Chat, start: Callable[[str], Stream], top: int, keeper: Session | None
    ) -> None:
        self.settings = settings
        self._chat = chat
        self._start = start
        self._top = top
        self._keeper = keeper
        self._last: Answer | None = None

    def take(self, line: str) -> bool:
        """Answer a question or do what a command says; False when it says to end."""
        words = line.split()
        if not words:
            return True
        if words[0] == "/exit":
            return False
        if len(words) == 1 and words[0].startswith("/"):
            self._command(words[0])
            return True
        self._last = run_stream(self.settings, self._start(line), show=True, first=self._last is None)
        note_doubts(self.settings, self._last)
        if self._keeper is not None:
            remember(self.settings, self._keeper, self._last)
        if interactive() and self._last.sources:
            best = (f"{source.name} page {source.page_name} ({source.share:.0%})" for source in self._last.sources[:3])
            say(self.settings, safe_line("  " + ", ".join(best)))
        return True

    def _command(self, name: str) -> None:
        if name == "/reset":
            self._chat.reset()
            say(self.settings, "new conversation")
        elif name == "/help":
            stderr().print(HELP)
        elif name not in ("/sources", "/stats"):
            error_line(f"{safe_line(name)}: unknown command; /help lists the commands")
        elif self._last is None:
            error_line(f"{name}: there is no answer yet; ask something first")
        elif name == "/sources":
            show_sources(self._last, self._top)
        else:
            table = summary(self._last.statistics)
            if self._chat.follows_up:
                table.add_row("conversation", f"{counted(self._chat.tokens, 'token')} of {self._chat.room:,}")
            stderr().print(table)


def _greet(settings: Settings, session: Session, conversation: Chat) -> None:
    if not conversation.follows_up:
        say(settings, BY_ITSELF)
    if interactive():
        tokens = counted(int(session.context.token_ids.shape[0]), "token")
        say(settings, safe_line(f"library {session.library}, {tokens}, model {session.model_name}; /help, /exit"))


def _typed(talk: _Talk) -> int:
    """Until /exit, Ctrl-D, or a second Ctrl-C in a row; an error does not end it."""
    stopped = False
    while True:
        try:
            line = read_line("> ")
        except EOFError:
            stderr().print()
            return 0
        except KeyboardInterrupt:
            stderr().print()
            if stopped:
                return 0
            stopped = True
            say(talk.settings, "Ctrl-C again, Ctrl-D or /exit ends the chat")
            continue
        try:
            if not talk.take(line):
                return 0
            stopped = False
        except KeyboardInterrupt:
            stopped = True
            say(talk.settings, "stopped; Ctrl-C again, Ctrl-D or /exit ends the chat")
        except TscliError as error:
            stopped = False
            error_line(str(error))


def _piped(talk: _Talk) -> int:
    """Until the input or /exit; errors and interrupts end it as they end any command."""
    while True:
        try:
            line = read_line("")
        except EOFError:
            return 0
        if not talk.take(line):
            return 0
