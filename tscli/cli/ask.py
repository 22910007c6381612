"""`tscli ask`: the answer to stdout as it comes, what it cost and where it came from to stderr."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.answers import answer_json, note_doubts, show, show_ablation, show_map, warn_of_instructions
from tscli.cli.ask_many import ask_many, check_questions, read_questions
from tscli.cli.coverage import remember
from tscli.cli.exit_codes import FULL
from tscli.cli.output import Settings, animated, dim, faint, fetch_model, marking, print_json, safe, working
from tscli.cli.settings import without
from tscli.cli.startup import loading, start_until_now
from tscli.errors import UsageError
from tscli.page_cache import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tscli import Answer, Evidence, Session, Stream
    from tscli.cli.startup import Startup


def ask(
    context: typer.Context,
    question: Annotated[
        str | None,
        typer.Argument(help='The question, in quotes; "-" reads it from standard input.'),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="Ask the questions in this file, one on each line or as JSON lines; the answers are JSON lines.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="With -f: append the answers to this file, and skip questions that it already answers."
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, help="With -f: how many questions to answer as one batch, which reads the weights once for all of them."
        ),
    ] = 1,
    library: flags.Libraries,
    shown: flags.Shown,
    decoding: flags.Decoding,
    no_history: flags.NoHistory = False,
    how: flags.Question,
    selection: Annotated[flags.Selection, without("chunk")],
    model: flags.LibraryModel,
) -> int:
    """Ask a library a question; no document token is computed again."""
    settings: Settings = context.obj
    questions = _questions(question, file, output, shown.html)
    if batch_size > 1 and (file is None or how.dense):
        raise UsageError("--batch-size goes with -f, and not with --dense, which copies all keys for each question")
    read_ahead(library)
    with loading():
        load = model.options()
        fetch_model(settings, load, library[0])
        with working(settings, flags.opening(library)) as on_step:
            open_library, begun = tscli.open_library, start_until_now()
            opened = open_library(library, load, selection.options(), **vars(how), lasting=file is not None, on_step=on_step)
    with opened as session:
        asking = _Asking(settings, session, decoding, shown, keeps_history=not no_history)
        if file is None:
            asking.ask_one(questions[0], begun)
            return 0
        check_questions(questions, session.prompt_ids)
        answers = asking.one_by_one if batch_size == 1 else partial(asking.in_batches, batch_size)
        ask_many(settings, questions, answers, output, asking.as_json)
    return 0


@dataclass(frozen=True)
class _Asking:
    """An open library, how its questions are answered, and how the answers are shown."""

    settings: Settings
    session: Session
    decoding: flags.Decoding
    shown: flags.Shown
    keeps_history: bool

    def ask_one(self, question: str, begun: Startup) -> None:
        """Answer a question, and show what the flags ask for."""
        session, shown = self.session, self.shown
        answer = self._kept(run_stream(self.settings, self._start(question), show=not shown.as_json, first=True))
        found = tscli.find_evidence(session, answer, top=shown.top)
        warn_of_instructions(self.settings, found)
        note_doubts(self.settings, answer, found)
        if shown.html is not None:
            _write(shown.html, tscli.render_report(session, answer, found))
        if shown.as_json:
            print_json(self.as_json(answer, begun))
        elif shown.stats != "none" and not self.settings.quiet:
            show(answer, found, begun, full=shown.stats == "full")
            if shown.ablate:
                show_ablation(self._ablate(answer, found))
            if shown.map_ or (shown.map_ is None and sys.stderr.isatty()):
                show_map(internals.map_answer(session, answer), len(session.context.documents))

    def one_by_one(self, questions: list[str]) -> Iterator[Answer]:
        """Their answers, without being shown."""
        return (self._kept(run_stream(self.settings, self._start(text), show=False)) for text in questions)

    def in_batches(self, size: int, questions: list[str]) -> Iterator[Answer]:
        """The same, so many at a time."""
        return (self._kept(answer) for answer in self.session.ask_batch(questions, size, **vars(self.decoding)))

    def as_json(self, answer: Answer, begun: Startup | None = None) -> dict[str, Any]:
        """An answer with all there is to say of it; begun: where the time since the process's start is wanted."""
        found = tscli.find_evidence(self.session, answer, top=self.shown.top)
        line = answer_json(self.session, answer, found, begun)
        if self.shown.ablate:
            line["ablation"] = line["check"] = self._ablate(answer, found)  # "check": until the next version
        return line

    def _start(self, question: str, excluded: Sequence[tuple[int, int]] = ()) -> Stream:
        return self.session.ask(question, excluded=excluded, **vars(self.decoding))

    def _kept(self, answer: Answer) -> Answer:
        if self.keeps_history:
            remember(self.settings, self.session, answer)
        return answer

    def _ablate(self, answer: Answer, found: Evidence) -> dict[str, Any]:
        """What the answer would be without the passages that it attended to."""
        excluded = [(citation.start, citation.end) for citation in found.citations]
        again = run_stream(self.settings, self._start(answer.question, excluded), show=False)
        return {"answer": again.text, "changed": again.text != answer.text}


def _write(file: Path, page: str) -> None:
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        if error.errno in FULL:
            raise
        raise UsageError(f"{file}: cannot be written ({error.strerror}); name another file with --html") from error


def _questions(question: str | None, file: Path | None, output: Path | None, html: Path | None) -> list[str]:
    if (question is None) == (file is None):
        raise UsageError('ask one question in quotes, "-" for standard input, or many with -f FILE')
    if output is not None and file is None:
        raise UsageError("-o goes with -f: one answer is printed")
    if html is not None and file is not None:
        raise UsageError("--html goes with one question, not with -f")
    for written, flag in ((html, "--html"), (output, "-o")):
        if written is not None and not written.parent.is_dir():  # said now, rather than when there is an answer
            raise UsageError(f"{written}: {written.parent} is not a folder; create it, or name another file with {flag}")
    if file is not None:
        return read_questions(file)
    assert question is not None
    return [sys.stdin.read().strip() if question == "-" else question]


def _thoughts(settings: Settings, waiting: ExitStack) -> Callable[[str], None] | None:
    """What shows thoughts on stderr, faint and apart from the answer; None when quiet or without a terminal."""
    if settings.quiet or not animated():
        return None

    def show(piece: str) -> None:
        waiting.close()
        sys.stderr.write(faint(safe(piece)))
        sys.stderr.flush()

    return show


def run_stream(settings: Settings, stream: Stream, *, show: bool, first: bool = False) -> Answer:
    """The answer, shown on stdout as it comes; an interrupt ends it and goes on. first: of the process, so that the question
    loads what it needs."""
    marks = show and marking()
    with closing(iter(stream)) as pieces, ExitStack() as waiting:
        if show:
            stream.on_thought = _thoughts(settings, waiting)
        with loading() if first else nullcontext():
            waiting.enter_context(working(settings, "reading the question"))
            piece = next(pieces, None)
        waiting.close()
        if stream.thoughts and stream.on_thought is not None:
            sys.stderr.write("\n\n")  # the answer stands apart
        told = 0  # tokens whose text was shown; the first piece may have several
        try:
            while piece is not None:
                if show:
                    weak = marks and _is_weak(stream, told)
                    told = len(stream.recorder.attribution) if marks else 0
                    sys.stdout.write(dim(safe(piece)) if weak else safe(piece))
                    sys.stdout.flush()
                piece = next(pieces, None)
        except KeyboardInterrupt:
            print()  # what is said next begins a line of its own
            raise
    if show:
        print()
    return stream.answer


def _is_weak(stream: Stream, told: int) -> bool:
    """Whether none of the tokens behind the first `told` ones drew on documents for more than half."""
    made = stream.recorder.attribution
    return all(internals.is_weak(one, stream.context) for one in made[told:] or made[-1:])
