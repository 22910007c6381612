"""`tscli eval`: answers scored, of a library by a file of questions or of generated contexts by several methods."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli.cli import flags
from tscli.cli.eval_tables import print_csv, print_results
from tscli.cli.output import Settings, counted, fetch_model, print_json, progress, safe_line, say, working
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import QuestionReport, ScoredAnswer, Session

FORMATS = ("table", "md", "json", "csv")
METHODS = "dense,streaming,tokenselect"
OF_LENGTH = ("tasks", "methods", "per_task", "max_dense", "haystack", "seed", "picture", "fidelity", "resume")
OF_QUESTIONS = ("library", "answers", "baselines", "dense")


def evaluate(
    context: typer.Context,
    questions: Annotated[
        Path | None,
        typer.Option(help='Score a library: JSON lines {"question", "answer", "kind", "file", "page"}.'),
    ] = None,
    library: flags.Library = "default",
    answers: Annotated[bool, typer.Option("--answers", help="With --questions: list every answer below the table.")] = False,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="With --questions: also BM25's best sentence, and no answer at all.")
    ] = False,
    length: Annotated[str | None, typer.Option(help="Score methods at these lengths: 4k,16k,64k.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Generated tasks, with commas; default: all.")] = None,
    methods: Annotated[str, typer.Option(help="dense, streaming, tokenselect, tokenselect-SETTING=VALUE.")] = METHODS,
    per_task: Annotated[int, typer.Option(min=1, help="Questions per task and context.")] = 10,
    max_dense: Annotated[str, typer.Option(help="Longest context that dense is run on.")] = "32k",
    haystack: Annotated[
        Path | None,
        typer.Option(help="Folder of text to hide needles in; default: invented sentences."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the generated contexts.")] = 1,
    picture: Annotated[
        Path | None,
        typer.Option(help="With --length: draw accuracy by length and depth into this PNG or SVG."),
    ] = None,
    fidelity: Annotated[
        int,
        typer.Option(min=0, help="With --length: questions per context whose steps are compared with exact and dense ones."),
    ] = 0,
    resume: Annotated[
        Path | None,
        typer.Option(help="With --length: keep the answers in this file, and do not ask again what it holds."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="table, md, json or csv; default: table on a terminal, else md."),
    ] = None,
    question_mode: flags.QuestionMode = None,
    dense: flags.Dense = False,
    k: flags.K = None,
    n_init: flags.NInit = None,
    n_local: flags.NLocal = None,
    chunk: flags.Chunk = None,
    theta: flags.Theta = None,
    pool: flags.Pool = None,
    metric: flags.Metric = None,
    scale: flags.Scale = None,
    exact: flags.Exact = False,
    model: flags.Model = None,
    revision: flags.Revision = None,
    dtype: flags.Dtype = "auto",
    device: flags.Device = "auto",
    weights: flags.Weights = "auto",
) -> int:
    """Ask what is known and score the answers."""
    settings: Settings = context.obj
    output = output or ("table" if length and sys.stdout.isatty() else "md")
    if output not in FORMATS:
        raise UsageError(f"--output {output}: choose {', '.join(FORMATS)}")
    if (questions is None) == (length is None):
        raise UsageError("say what to score: a library by --questions FILE, or generated tasks by --length 4k,16k")
    _refuse_strays(context, by_length=length is not None)
    if picture is not None:
        tscli.check_picture(picture)
    selection = tscli.SelectionOptions(k, n_init, n_local, chunk, theta, scale, pool, metric, flags.scan(exact))
    load = tscli.LoadOptions(model, revision, dtype, device, weights)
    asked = tscli.read_questions(questions) if questions is not None else []
    fetch_model(settings, load, library if asked else None)
    if asked:
        with working(settings, f"opening library {library}"):
            opened = tscli.open_library(library, load, selection, question_mode, dense)  # type: ignore[arg-type]
        with opened as session:
            with progress(settings) as on_progress:
                text = f"asking {counted(len(asked), 'question')}"
                report = tscli.ask_all(session, asked, on_answer=lambda done, total: on_progress(text, done, total))
            reports = {"dense" if session.asker.is_dense else "tokenselect": report}
            if baselines:
                reports |= {"bm25": tscli.best_sentences(session, asked), "no-answer": tscli.no_answers(asked)}
            _print_reports(reports, session, output, answers)
        return 0
    assert length is not None
    with progress(settings) as on_progress:
        trials = list(
            tscli.evaluate_tasks(
                [tscli.parse_count(part) for part in length.split(",")],
                **({"names": [name.strip() for name in tasks.split(",")]} if tasks else {}),
                methods=methods.split(","),
                load=load,
                selection=selection,
                num_questions=per_task,
                max_dense=tscli.parse_count(max_dense),
                fidelity=fidelity,
                haystack_folder=haystack,
                question=question_mode,
                seed=seed,
                resume=resume,
                on_progress=on_progress,
            )
        )
    results = tscli.results_of(trials)
    named = {"model": model or "reader", "per_task": per_task, "seed": seed, "haystack": str(haystack or "invented")}
    chosen = {name: value for name, value in vars(selection).items() if value is not None}
    print_results(results, tscli.fidelity_of(trials), {**named, **chosen}, output)
    if picture is not None:
        tscli.draw(results, picture)
        say(settings, f"drawn into {picture}")
    return 0


def _refuse_strays(context: typer.Context, *, by_length: bool) -> None:
    """A flag of the other kind of evaluation would do nothing; UsageError says where it belongs."""
    for name in OF_QUESTIONS if by_length else OF_LENGTH:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            belongs = "--questions" if by_length else "--length"
            way_out = "name it in --methods" if name == "dense" else "leave it out"
            raise UsageError(f"--{name.replace('_', '-')} goes with {belongs}; {way_out}")


def _print_reports(reports: dict[str, QuestionReport], session: Session, output: str, answers: bool) -> None:
    if output == "json":
        print_json(_json(reports, session))
        return
    if output == "csv":
        print_csv([_answer(method, answer) for method, report in reports.items() for answer in report.answers])
        return
    print("| method | kind | n | exact match | 95% | F1 | right page first | cited |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for method, report in reports.items():
        for tally in report.tallies():
            low, high = tally.ci95
            exact = f"{round(tally.exact * tally.n)} ({tally.exact:.0%}) | {low:.0%}-{high:.0%}"
            page = "" if tally.page_first is None else f"{tally.page_first:.0%}"
            cited = "" if tally.cited is None else f"{tally.cited:.0%}"
            print(f"| {method} | {safe_line(tally.kind)} | {tally.n} | {exact} | {tally.f1:.2f} | {page} | {cited} |")
    if answers:
        print("\n| | method | question | wanted | answer | page |\n| --- | --- | --- | --- | --- | --- |")
        for method, report in reports.items():
            for answer in report.answers:
                page = f"{answer.file}, {answer.page}" if answer.file else ""
                wanted = answer.question.answer or "(not there)"
                cells = ("right" if answer.exact else "wrong", method, answer.question.question, wanted, answer.text, page)
                print(f"| {' | '.join(safe_line(cell).replace('|', '/') for cell in cells)} |")


def _json(reports: dict[str, QuestionReport], session: Session) -> dict[str, Any]:
    return {
        "library": session.library,
        "model": session.model_name,
        "results": [{"method": method, **vars(tally)} for method, report in reports.items() for tally in report.tallies()],
        "answers": [_answer(method, answer) for method, report in reports.items() for answer in report.answers],
        "settings": {**vars(session.config), "question": session.asker.question_mode, "dense": session.asker.is_dense},
        "tokens": int(session.context.token_ids.shape[0]),
        "versions": tscli.versions(),
    }


def _answer(method: str, answer: ScoredAnswer) -> dict[str, Any]:
    return {
        "method": method,
        "question": answer.question.question,
        "kind": answer.question.kind,
        "wanted": answer.question.answer,
        "answer": answer.text,
        "exact": answer.exact,
        "f1": answer.f1,
        "file": answer.file,
        "page": answer.page,
        "page_first": answer.page_first,
        "cited": answer.cited,
        "seconds": answer.seconds,
    }
