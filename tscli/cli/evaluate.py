"""`tscli eval`: questions with known answers, asked of a library; a table on stdout, progress on stderr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli.cli import flags
from tscli.cli.output import Settings, counted, print_json, safe_line, say, working
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import QuestionReport, ScoredAnswer, Session

FORMATS = ("md", "json")


def evaluate(
    context: typer.Context,
    questions: Annotated[Path, typer.Option(help='JSON lines: {"question", "answer", "kind", "file", "page"}.')],
    library: flags.Library = "default",
    output: Annotated[str, typer.Option("-o", "--output", help="md or json.")] = "md",
    answers: Annotated[bool, typer.Option("--answers", help="List every answer below the table.")] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 32,
    question_mode: flags.QuestionMode = None,
    dense: flags.Dense = False,
    k: flags.K = None,
    n_init: flags.NInit = None,
    n_local: flags.NLocal = None,
    theta: flags.Theta = None,
    pool: flags.Pool = None,
    metric: flags.Metric = None,
    scale: flags.Scale = None,
    model: flags.Model = None,
    revision: flags.Revision = None,
    dtype: flags.Dtype = "auto",
    device: flags.Device = "auto",
) -> int:
    """Ask a library questions whose answers are known, and score them."""
    settings: Settings = context.obj
    if output not in FORMATS:
        raise UsageError(f"--output {output}: choose {', '.join(FORMATS)}")
    asked = tscli.read_questions(questions)
    selection = tscli.SelectionOptions(k=k, n_init=n_init, n_local=n_local, theta=theta, scale=scale, pool=pool, metric=metric)
    load = tscli.LoadOptions(model, revision, dtype, device)
    with working(settings, f"opening library {library}"):
        opened = tscli.open_library(library, load, selection, question_mode, dense)  # type: ignore[arg-type]
    with opened as session, working(settings, f"asking {counted(len(asked), 'question')}") as status:
        update = getattr(status, "update", None)
        told = (lambda done, total: update(f"asked {done} of {total}")) if update else None
        report = tscli.ask_all(session, asked, max_new_tokens=max_new_tokens, on_answer=told)
        if output == "json":
            print_json(_json(report, session))
    if output == "md":
        _print_markdown(report, answers)
        if report.num_unscored:
            say(settings, f"{counted(report.num_unscored, 'question')} without an answer in the documents: asked, not scored")
    return 0


def _print_markdown(report: QuestionReport, answers: bool) -> None:
    print("| kind | n | exact match | 95% | F1 | right page first |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for tally in report.tallies():
        low, high = tally.ci95
        exact = f"{round(tally.exact * tally.n)} ({tally.exact:.0%}) | {low:.0%}-{high:.0%}"
        print(f"| {safe_line(tally.kind)} | {tally.n} | {exact} | {tally.f1:.2f} | {tally.page_first:.0%} |")
    if answers:
        print("\n| | question | wanted | answer | page |\n| --- | --- | --- | --- | --- |")
        for answer in report.answers:
            mark = {True: "right", False: "wrong", None: "-"}[answer.exact]
            page = f"{answer.file}, {answer.page}" if answer.file else ""
            cells = (mark, answer.question.question, answer.question.answer or "(not there)", answer.text, page)
            print(f"| {' | '.join(safe_line(cell).replace('|', '/') for cell in cells)} |")


def _json(report: QuestionReport, session: Session) -> dict[str, Any]:
    return {
        "library": session.library,
        "model": session.model_name,
        "results": [vars(tally) for tally in report.tallies()],
        "unscored": report.num_unscored,
        "answers": [_answer(answer) for answer in report.answers],
        "settings": {**vars(session.config), "question": session.asker.question_mode, "dense": session.asker.is_dense},
        "tokens": int(session.context.token_ids.shape[0]),
        "versions": tscli.versions(),
    }


def _answer(answer: ScoredAnswer) -> dict[str, Any]:
    return {
        "question": answer.question.question,
        "kind": answer.question.kind,
        "wanted": answer.question.answer,
        "answer": answer.text,
        "exact": answer.exact,
        "f1": answer.f1,
        "source": {"file": answer.file, "page": answer.page} if answer.file else None,
        "page_first": answer.page_first,
        "seconds": answer.seconds,
    }
