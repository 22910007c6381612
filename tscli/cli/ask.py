"""`tscli ask`: the answer to stdout as it comes, what it cost and where it came from to stderr."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.answers import answer_json, show, show_ablation, show_map, warn_of_instructions
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

    from tscli import Answer, Evidence, Stream


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
        with working(settings, flags.opening(library)):
            open_library, begun = tscli.open_library, start_until_now()
            opened = open_library(library, load, selection.options(), **vars(how))
    with opened as session:

        def start(text: str, excluded: Sequence[tuple[int, int]] = ()) -> Stream:
            return session.ask(text, excluded=excluded, **vars(decoding))

        def answered(text: str, *, show: bool) -> Answer:
            answer = run_stream(settings, start(text), show=show, first=file is None)
            if not no_history:
                remember(settings, session, answer)
            return answer

        def in_json(answer: Answer) -> dict[str, Any]:
            found = tscli.find_evidence(session, answer, top=shown.top)
            line = answer_json(session, answer, found, begun if file is None else None)
            if shown.ablate:
                line["ablation"] = line["check"] = _ablate(settings, answer, found, start)  # "check": until the next version
            return line

        def in_turn(texts: list[str]) -> Iterator[Answer]:
            return (answered(text, show=False) for text in texts)

        def in_batches(texts: list[str]) -> Iterator[Answer]:
            for answer in session.ask_batch(texts, batch_size, **vars(decoding)):
                if not no_history:
                    remember(settings, session, answer)
                yield answer

        if file is not None:
            check_questions(questions, session.prompt_ids)
            ask_many(settings, questions, in_turn if batch_size == 1 else in_batches, output, in_json)
            return 0
        answer = answered(questions[0], show=not shown.as_json)
        found = tscli.find_evidence(session, answer, top=shown.top)
        warn_of_instructions(settings, found)
        if shown.html is not None:
            _write(shown.html, tscli.render_report(session, answer, found))
        if shown.as_json:
            print_json(in_json(answer))
        elif shown.stats != "none" and not settings.quiet:
            show(answer, found, begun, full=shown.stats == "full")
            if shown.ablate:
                show_ablation(_ablate(settings, answer, found, start))
            if shown.map_ or (shown.map_ is None and sys.stderr.isatty()):
                show_map(internals.map_answer(session, answer), len(session.context.documents))
    return 0


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


def _ablate(
    settings: Settings, answer: Answer, found: Evidence, start: Callable[[str, Sequence[tuple[int, int]]], Stream]
) -> dict[str, Any]:
    """What the answer would be if it could not look at the passages that it drew on."""
    again = run_stream(settings, start(answer.question, [(c.start, c.end) for c in found.citations]), show=False)
    return {"answer": again.text, "changed": again.text != answer.text}


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
