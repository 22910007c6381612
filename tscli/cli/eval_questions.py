"""`tscli eval questions`: asked of a library, or of temporary ones of each kind; the scores on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import tscli
from tscli import internals
from tscli.cli.flags import Question
from tscli.cli.output import Settings, counted, progress, safe_line, say, working
from tscli.cli.tables import Table, write
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import IngestOptions, LoadOptions, QuestionReport, ScoredAnswer, SelectionOptions, Tally
    from tscli.internals import AnswerJournal

HEADS = ("method", "kind", "n", "right", "95%", "exact match", "F1", "right page first", "cited", "refused", "first token")
KINDS = ("joint", "independent")


@dataclass(frozen=True)
class EvalLibraryOptions:
    """How libraries are opened and what is asked of them; thoughts are not scored; baselines: also by these methods of
    `internals.run_baselines`. resume: a file of answers, which are not asked for again, and where those that are made go."""

    asked: Sequence[tscli.Question]
    load: LoadOptions
    selection: SelectionOptions
    how: Question
    baselines: Sequence[str]
    resume: Path | None = None


def ask_library(
    settings: Settings, library: str, opening: EvalLibraryOptions, kind: str = ""
) -> tuple[dict[str, QuestionReport], dict[str, Any]]:
    """A report per method, and what is to be known of the library and its session. kind: of the library's documents, where
    several kinds are compared."""
    asked = opening.asked
    with working(settings, f"opening library {library}") as on_step:
        opened = tscli.open_library(library, opening.load, opening.selection, **vars(opening.how), on_step=on_step)
    with opened as session:
        method = ("dense" if session.strategy.is_dense else "tokenselect") + (f"-documents={kind}" if kind else "")
        journal = _journal(settings, session, opening, any_kind=bool(kind))
        with progress(settings) as on_progress:
            text = f"asking {counted(len(asked), 'question')}"
            tell, kept = partial(on_progress, text), journal.by(method) if journal is not None else None
            report = tscli.ask_all(session, asked, think=opening.how.think, on_answer=tell, kept=kept)
        reports = {method: report}
        if opening.baselines:
            with progress(settings) as on_progress:

                def on_answer(name: str, done: int, total: int) -> None:
                    on_progress(f"asking: {name}", done, total)

                found = internals.run_baselines(session, asked, opening.baselines, on_answer=on_answer, journal=journal)
                reports |= dict(found)
        chosen = {"question": session.strategy.question_mode, "dense": session.strategy.is_dense, "think": opening.how.think}
        return reports, {
            "library": session.library,
            "model": session.model_name,
            "settings": {**vars(session.config), **chosen},
            "keys_scanned": session.strategy.keys_scanned,
            "tokens": int(session.context.token_ids.shape[0]),
        }


def ask_folder(
    settings: Settings, folder: Path, kinds: Sequence[str], kv_dtype: str, opening: EvalLibraryOptions
) -> tuple[dict[str, QuestionReport], dict[str, Any]]:
    """The same of a folder's documents, read into a library of each kind that is removed afterwards."""
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"--documents {unknown[0]}: choose {', '.join(KINDS)}, or both with a comma")
    reports: dict[str, QuestionReport] = {}
    about: dict[str, Any] = {}
    for kind in kinds:
        options = tscli.IngestOptions(documents=kind, kv_dtype=kv_dtype)  # type: ignore[arg-type]
        with _library_of(settings, folder, options, opening) as library:
            once = replace(opening, baselines=opening.baselines if kind == kinds[0] else ())  # they know no kinds
            found, about = ask_library(settings, library, once, kind)
        reports |= found
    about["settings"] |= {"documents": list(kinds), "kv_dtype": kv_dtype, "weights": opening.load.weights}
    return reports, {**about, "library": str(folder)}


def _journal(
    settings: Settings, session: tscli.Session, opening: EvalLibraryOptions, *, any_kind: bool
) -> AnswerJournal | None:
    """What --resume names; UsageError where it was made with other questions, documents or settings."""
    if opening.resume is None:
        return None
    deciding = internals.answer_settings(session, opening.asked, think=opening.how.think, any_kind=any_kind)
    journal = internals.AnswerJournal(opening.resume, deciding)
    if len(journal):
        say(settings, f"{opening.resume}: {counted(len(journal), 'answer')} from before")
    return journal


@contextmanager
def _library_of(settings: Settings, folder: Path, options: IngestOptions, opening: EvalLibraryOptions) -> Iterator[str]:
    """UsageError where a file cannot be read: scores of the rest would pass for scores of all."""
    tscli.home().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="eval-", dir=tscli.home()) as parent:
        library = str(Path(parent) / "library")
        with working(settings, f"reading {folder}, {options.documents}") as on_step:

            def on_event(kind: str, detail: str, done: int, total: int) -> None:
                if kind == "pack":
                    on_step(detail, done, total)

            preparation = tscli.prepare([folder], library, opening.load, opening.selection, options, on_event)
            if preparation.plan.failures:
                lost = preparation.plan.failures[0]
                raise UsageError(f"{lost.path}: {lost.reason}; --folder needs documents that can all be read")
            preparation.run()
        yield library


def print_reports(reports: dict[str, QuestionReport], about: dict[str, Any], output: str, answers: bool) -> None:
    """On stdout, in this format: table, md, json or csv; answers: list them too. about: as `ask_library` gives it."""
    rows = [(method, *_cells(tally)) for method, report in reports.items() for tally in report.tallies()]
    records = [_answer(method, answer) for method, report in reports.items() for answer in report.answers]
    write(output, Table(HEADS, f"<<{'>' * (len(HEADS) - 2)}", rows), records, _json(reports, about))
    if output in ("json", "csv"):
        return
    notes = [report.note for report in reports.values() if report.note]
    if about["keys_scanned"] is not None:
        notes.append(f"retrieval heads scan {about['keys_scanned']:.1%} of the keys for a question")
    print("".join(f"\n{note}" for note in notes), end="\n" if notes else "")
    if answers:
        print()
        heads = ("", "method", "question", "wanted", "answer", "page")
        shown = [_shown(method, answer) for method, report in reports.items() for answer in report.answers]
        write("md", Table(heads, "<" * len(heads), shown), records)


def _shown(method: str, answer: ScoredAnswer) -> tuple[str, ...]:
    page = f"{answer.file}, {answer.page}" if answer.file else ""
    wanted = answer.question.answer or "(not there)"
    return ("right" if answer.right else "wrong", method, answer.question.question, wanted, answer.text, page)


def _cells(tally: Tally) -> list[str]:
    """What stands under HEADS, from the second on."""
    low, high = tally.right_ci95
    shares = ["" if share is None else f"{share:.0%}" for share in (tally.page_first, tally.cited, tally.refused)]
    first = "" if tally.ttft_s is None else f"{tally.ttft_s:.2f} s"
    right, exact = (f"{round(share * tally.n)} ({share:.0%})" for share in (tally.right, tally.exact))
    return [safe_line(tally.kind), str(tally.n), right, f"{low:.0%}-{high:.0%}", exact, f"{tally.f1:.2f}", *shares, first]


def _json(reports: dict[str, QuestionReport], about: dict[str, Any]) -> dict[str, Any]:
    return {
        "library": about["library"],
        "model": about["model"],
        "results": [{"method": method, **vars(tally)} for method, report in reports.items() for tally in report.tallies()],
        "answers": [_answer(method, answer) for method, report in reports.items() for answer in report.answers],
        "notes": [report.note for report in reports.values() if report.note],
        "settings": about["settings"],
        "keys_scanned": about["keys_scanned"],
        "tokens": about["tokens"],
        "versions": tscli.versions(),
    }


def _answer(method: str, answer: ScoredAnswer) -> dict[str, Any]:
    return {
        "method": method,
        "question": answer.question.question,
        "kind": answer.question.kind,
        "wanted": answer.question.answer,
        "answer": answer.text,
        "right": answer.right,
        "refused": answer.refused,
        "exact": answer.exact,
        "f1": answer.f1,
        "file": answer.file,
        "page": answer.page,
        "page_first": answer.page_first,
        "cited": answer.cited,
        "seconds": answer.seconds,
        "ttft_s": answer.ttft_s,
        "confidence": answer.confidence,
    }
