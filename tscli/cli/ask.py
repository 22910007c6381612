"""`tscli ask`: the answer to stdout as it comes, what it cost and where it came from to stderr."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import tscli
from tscli.cli import flags
from tscli.cli.ask_many import ask_many, read_questions
from tscli.cli.coverage import remember
from tscli.cli.output import Settings, duration, fetch_model, print_json, safe, safe_line, stderr, working
from tscli.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from tscli import Answer, Fidelity, Statistics, Stream

STATS = ("none", "short", "full")
SCANS = {"exact": "every cached token", "sketch": "by the sketch of the keys, its candidates exactly"}
READ = {"token": "each selects", "chunk": "select by their mean", "twice": "read twice"}


def ask(
    context: typer.Context,
    question: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it on Python 3.10
        typer.Argument(help='The question, in quotes; "-" reads it from standard input.'),
    ] = None,
    file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--file", "-f", help="Many questions: a line each, or JSON lines. Answers are JSON lines."),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="With -f: append the answers to this file, and skip what it answers already."),
    ] = None,
    library: flags.Library = "default",
    as_json: flags.Json = False,
    stats: flags.Stats = "short",
    top: flags.Top = 5,
    max_new_tokens: flags.MaxNewTokens = 128,
    temperature: flags.Temperature = 0.0,
    top_p: flags.TopP = 1.0,
    seed: flags.Seed = None,
    no_history: flags.NoHistory = False,
    question_mode: flags.QuestionMode = None,
    dense: flags.Dense = False,
    k: flags.K = None,
    n_init: flags.NInit = None,
    n_local: flags.NLocal = None,
    theta: flags.Theta = None,
    pool: flags.Pool = None,
    metric: flags.Metric = None,
    scale: flags.Scale = None,
    exact: flags.Exact = False,
    model: flags.LibraryModel = None,
    revision: flags.LibraryRevision = None,
    dtype: flags.LibraryDtype = "auto",
    device: flags.Device = "auto",
) -> int:
    """Ask a library a question; no document is read again."""
    settings: Settings = context.obj
    if stats not in STATS:
        raise UsageError(f"--stats {stats}: choose none, short or full")
    questions = _questions(question, file, output)
    selection = tscli.SelectionOptions(
        k=k, n_init=n_init, n_local=n_local, theta=theta, scale=scale, pool=pool, metric=metric, scan=flags.scan(exact)
    )
    load = tscli.LoadOptions(model, revision, dtype, device)
    fetch_model(settings, load)
    with working(settings, f"opening library {library}"):
        opened = tscli.open_library(library, load, selection, question_mode, dense)  # type: ignore[arg-type]
    with opened as session:

        def start(text: str) -> Stream:
            return session.ask(text, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)

        def answered(text: str, *, show: bool) -> Answer:
            answer = run_stream(settings, start(text), show=show)
            if not no_history:
                remember(settings, session, answer)
            return answer

        if file is not None:
            names = session.library, session.model_name
            ask_many(settings, questions, lambda text: answered(text, show=False), output, lambda a: _json(a, *names))
            return 0
        answer = answered(questions[0], show=not as_json)
        if as_json:
            print_json(_json(answer, session.library, session.model_name))
    if stats != "none" and not settings.quiet and not as_json:
        _show(answer, top, full=stats == "full")
    return 0


def _questions(question: str | None, file: Path | None, output: Path | None) -> list[str]:
    if (question is None) == (file is None):
        raise UsageError('ask one question in quotes, "-" for standard input, or many with -f FILE')
    if output is not None and file is None:
        raise UsageError("-o goes with -f: one answer is printed")
    if file is not None:
        return read_questions(file)
    assert question is not None
    return [sys.stdin.read().strip() if question == "-" else question]


def run_stream(settings: Settings, stream: Stream, *, show: bool) -> Answer:
    """The answer, shown on stdout as it comes; an interrupt ends it and goes on."""
    with closing(iter(stream)) as pieces:
        with working(settings, "reading the question"):
            piece = next(pieces, None)
        try:
            while piece is not None:
                if show:
                    sys.stdout.write(safe(piece))
                    sys.stdout.flush()
                piece = next(pieces, None)
        except KeyboardInterrupt:
            print()  # what is said next begins a line of its own
            raise
    if show:
        print()
    return stream.answer


def _show(answer: Answer, top: int, *, full: bool) -> None:
    from rich.panel import Panel

    console, statistics = stderr(), answer.statistics
    console.print(Panel(summary(statistics), title="how", title_align="left", expand=False))
    if full:
        console.print(_layers(statistics))
    if answer.sources and top > 0:
        show_sources(answer, top)


def show_sources(answer: Answer, top: int) -> None:
    """The pages that the answer's tokens voted for most, on stderr."""
    console = stderr()
    console.print(_sources(answer, top))
    console.print("shares of the votes of the answer's tokens; selection is not proof of causation")


def summary(statistics: Statistics) -> Table:
    """What an answer cost and how it was selected for."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    s = statistics
    share = s.attended_mean / max(1, s.total_tokens)
    table.add_row("documents", f"{s.cached_tokens:,} tokens cached, {s.recomputed_tokens:,} computed again")
    table.add_row(
        "this answer",
        f"{s.prompt_tokens:,} prompt tokens ({READ[s.question_mode]}), {s.generated_tokens:,} generated ({s.stop_reason})",
    )
    table.add_row(
        "time",
        f"first token {duration(s.ttft_s)}, then {s.decode_tps:,.1f} tokens/s; loaded in {duration(s.load_s)}",
    )
    if s.dense:
        table.add_row("attention", f"dense, all of {s.total_tokens:,}")
    else:
        table.add_row(
            "selected",
            f"{s.selected_mean:,.0f} tokens a step (k {s.k:,}, {s.metric} vote, pool {s.pool}); "
            f"attended {s.attended_mean:,.0f} of {s.total_tokens:,} ({share:.1%})",
        )
        table.add_row("scan", SCANS[s.scan] + (_fidelity(s.fidelity) if s.fidelity else ""))
        table.add_row("reused", f"{s.cache_hit_rate:.0%} of selections (theta {s.theta})")
    for note in s.notes:
        table.add_row("note", safe_line(note))
    return table


def _fidelity(fidelity: Fidelity) -> str:
    held = f"{fidelity.vote_mass:.1%} of the exact selection's votes, {fidelity.recall:.1%} of its tokens"
    return f"; compared {fidelity.compared} times: {held}"


def _layers(statistics: Statistics) -> Table:
    from rich.table import Table

    table = Table(title="layers", title_justify="left")
    for name in ("layer", "kind", "selected", "attended", "reused"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for layer in statistics.layers:
        table.add_row(
            str(layer.layer), layer.kind, f"{layer.selected_mean:,.0f}", f"{layer.attended_mean:,.0f}", f"{layer.hit_rate:.0%}"
        )
    return table


def _sources(answer: Answer, top: int) -> Table:
    from rich.table import Table

    table = Table(title="most selected", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("page", justify="right")
    table.add_column("share", justify="right")
    for source in answer.sources[:top]:
        table.add_row(safe_line(source.file), str(source.page), f"{source.share:.0%}")
    return table


def _json(answer: Answer, library: str, model: str) -> dict[str, Any]:
    s = answer.statistics
    return {
        "answer": answer.text,
        "library": library,
        "model": model,
        "tokens": {
            "cached": s.cached_tokens,
            "recomputed": s.recomputed_tokens,
            "prompt": s.prompt_tokens,
            "generated": s.generated_tokens,
        },
        "timing": {"load_s": s.load_s, "ttft_s": s.ttft_s, "decode_tps": s.decode_tps, "total_s": s.total_s},
        "selection": {
            "k": s.k,
            "selected_mean": s.selected_mean,
            "attended_mean": s.attended_mean,
            "total": s.total_tokens,
            "cache_hit_rate": s.cache_hit_rate,
            "scan": s.scan,
            "fidelity": vars(s.fidelity) if s.fidelity else None,
        },
        "sources": [{"file": source.file, "page": source.page, "share": source.share} for source in answer.sources],
        "token_ids": answer.token_ids,
        "versions": tscli.versions(),
    }
