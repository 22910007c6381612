"""`tscli eval questions | tasks`: answers scored, of a library by a file of questions or of generated contexts by several
methods."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.eval_questions import EvalLibraryOptions, ask_folder, ask_library, print_reports
from tscli.cli.eval_tables import print_results
from tscli.cli.output import Settings, fetch_model, progress, say
from tscli.cli.settings import without
from tscli.cli.tables import check_format
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import SelectionOptions

FORMATS = ("table", "md", "json", "csv")
BASELINES = (
    "document",
    "rag",
    "rag-2",
    "everything",
    "sentence",
    "none",
)  # of `tscli.evaluation.baselines`, without its imports
METHODS = "dense,streaming,tokenselect"
Think = Annotated[
    bool, typer.Option("--think", help="Let the model think before it answers, if it can; its thoughts are not scored.")
]
Resume = Annotated[Path | None, typer.Option(help="Keep answers in this file, and skip questions that it already answers.")]


def questions(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help='A file of JSON lines: {"question", "answer", "kind", "file", "page"}.')],
    *,
    library: flags.Library,
    folder: Annotated[
        Path | None, typer.Option(help="Ingest these documents for this evaluation only, instead of asking a library.")
    ] = None,
    documents: Annotated[
        str, typer.Option(help="With --folder: joint, independent, or both to compare them.")
    ] = "joint,independent",
    answers: Annotated[bool, typer.Option("--answers", help="List every answer below the table.")] = False,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also score baselines: RAG over BM25's passages, the right document alone, and others.",
        ),
    ] = False,
    baseline: Annotated[
        list[str] | None, typer.Option(help=f"Score this baseline and no others: {', '.join(BASELINES)}. May be repeated.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask at most this many questions, evenly spread over the file.")
    ] = None,
    resume: Resume = None,
    output: Annotated[str, typer.Option("-o", "--output", help="Format: md (or table), json or csv.")] = "md",
    how: Annotated[flags.Question, without("think")],
    think: Think = False,
    selection: flags.Selection,
    model: flags.Model,
    kv_dtype: flags.KVDtype = "auto",
) -> int:
    """Ask a library questions with known answers, and score what it answers."""
    settings: Settings = context.obj
    check_format(output, FORMATS)
    _refuse_strays(context, by_folder=folder is not None)
    asked = internals.every_nth(tscli.read_questions(file), limit)
    if resume is not None and not resume.parent.is_dir():
        raise UsageError(f"{resume}: {resume.parent} is not a folder; create it, or name another --resume file")
    measured = baseline or (BASELINES if baselines else ())
    how = replace(how, think=think)
    opening = EvalLibraryOptions(asked, model.options(), selection.options(), how, measured, resume)
    fetch_model(settings, opening.load, library if folder is None else None)
    if folder is None:
        reports, about = ask_library(settings, library, opening)
    else:
        reports, about = ask_folder(settings, folder, documents.split(","), kv_dtype, opening)
    print_reports(reports, about, output, answers)
    return 0


def tasks(
    context: typer.Context,
    *,
    length: Annotated[str, typer.Option(help="Context lengths, such as 4k or 4k,16k,64k.")],
    tasks: Annotated[str | None, typer.Option(help="Tasks to run, separated by commas. Default: all.")] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Methods to compare: dense, streaming, voters (retrieval heads), tokenselect, tokenselect-SETTING=VALUE."
        ),
    ] = METHODS,
    per_task: Annotated[int, typer.Option(min=1, help="Number of questions per task and context.")] = 10,
    max_dense: Annotated[str, typer.Option(help="Longest context to run the dense method on.")] = "32k",
    haystack: Annotated[
        Path | None, typer.Option(help="Folder of text to hide the needles in. Default: generated sentences.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated contexts.")] = 1,
    picture: Annotated[Path | None, typer.Option(help="Plot accuracy by length and depth into this .png or .svg file.")] = None,
    fidelity: Annotated[
        int,
        typer.Option(min=0, help="Number of questions per context whose steps are compared with exact and with dense ones."),
    ] = 0,
    resume: Resume = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Format: table, md, json or csv. Default: table on a terminal, else md."),
    ] = None,
    question_mode: Annotated[
        str | None,
        replace(flags.QUESTION_MODE, help=f"How a question selects tokens in TokenSelect's methods. {flags.QUESTION_MODES}"),
    ],
    think: Think = False,
    selection: flags.Selection,
    model: flags.Model,
    kv_dtype: flags.KVDtype = "auto",
) -> int:
    """Generate contexts with answers hidden in them, and compare methods of attention at these lengths."""
    settings: Settings = context.obj
    output = output or ("table" if sys.stdout.isatty() else "md")
    check_format(output, FORMATS)
    if picture is not None:
        internals.check_picture(picture)
    chosen, load = selection.options(), model.options()
    fetch_model(settings, load)
    with progress(settings) as on_progress:
        trials = list(
            internals.evaluate_tasks(
                [internals.parse_count(part) for part in length.split(",")],
                **({"names": [name.strip() for name in tasks.split(",")]} if tasks else {}),
                methods=methods.split(","),
                load=load,
                selection=chosen,
                num_questions=per_task,
                max_dense=internals.parse_count(max_dense),
                fidelity=fidelity,
                haystack_folder=haystack,
                question=question_mode,
                kv_dtype=kv_dtype,  # type: ignore[arg-type]
                think=think,
                seed=seed,
                resume=resume,
                on_progress=on_progress,
            )
        )
    results = internals.results_of(trials)
    named = {"model": load.model or tscli.default_model(), "per_task": per_task, "seed": seed}
    named |= {"haystack": str(haystack or "invented"), "kv_dtype": kv_dtype, **_set_options(chosen)}
    print_results(results, internals.fidelity_of(trials), internals.agreement_of(trials), named, output)
    if picture is not None:
        internals.draw(results, picture)
        say(settings, f"picture written to {picture}")
    return 0


def _set_options(selection: SelectionOptions) -> dict[str, Any]:
    return {name: value for name, value in vars(selection).items() if value is not None}


def _refuse_strays(context: typer.Context, *, by_folder: bool) -> None:
    """A flag of the other kind of evaluation would do nothing; UsageError says where it belongs."""
    strays = {"library": "without --folder"} if by_folder else {"documents": "with --folder", "kv_dtype": "with --folder"}
    for name, belongs in strays.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name.replace('_', '-')} applies only {belongs}; leave it out")
