"""How an answer is shown: statistics and citations on stderr for people, one JSON object for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import tscli
from tscli import internals
from tscli.cli.output import Settings, counted, duration, safe_line, say, stderr
from tscli.cli.startup import Startup

if TYPE_CHECKING:
    from rich.table import Table

    from tscli import Answer, Evidence, Fidelity, Session, Statistics
    from tscli.internals import DocumentMap

SCANS = {"exact": "every cached token", "sketch": "candidates by the sketch of the keys, those exactly"}
READ = {
    "token": "each selects",
    "chunk": "select by their mean",
    "two_pass": "read twice",
    "voters": "read alone, then conditioned on each candidate passage",
}
MAPPED = 20  # documents on the map
PARTS = {
    "process_start_s": "Python",
    "import_s": "imports",
    "load_s": "library",
    "question_s": "question",
    "first_decode_s": "first token",
    "held_s": "until it was grounded",
}


def show(answer: Answer, evidence: Evidence, start: Startup, *, full: bool) -> None:
    """Statistics (full: per layer and all times), then the passages that the answer attended to, on stderr."""
    from rich.panel import Panel

    console, statistics = stderr(), answer.statistics
    console.print(Panel(summary(statistics, start if full else None), title="how", title_align="left", expand=False))
    if full:
        console.print(_layers(statistics))
    if not evidence.citations:
        console.print("the answer attends to no passage of the documents")
        return
    for number, citation in enumerate(evidence.citations, start=1):
        console.print(safe_line(citation.line(number, share=True)))
    for line in _weak(answer, evidence):
        console.print(line)
    console.print(f"shares of the answer's attention to documents; {tscli.CAVEAT}")


def warn_of_instructions(settings: Settings, evidence: Evidence) -> None:
    """One line on stderr where passages read like instructions to the model rather than like text for people."""
    if evidence.instructions:
        places = ", ".join(f'{evidence.citations[index].place} ("{words}")' for index, words in evidence.instructions)
        say(settings, safe_line(f"warning: this looks like instructions to the model, which may steer the answer: {places}"))


def note_doubts(settings: Settings, answer: Answer, evidence: Evidence | None = None) -> None:
    """A line on stderr for each thing that makes an answer doubtful."""
    for remark in internals.remarks(answer, evidence):
        say(settings, safe_line(f"note: {remark}"))


def show_ablation(ablation: dict[str, Any]) -> None:
    """Whether the answer was another one without its passages, on stderr."""
    words = "the answer changes" if ablation["changed"] else "the answer stays the same, so it does not need these passages"
    stderr().print(safe_line(f'without these passages: "{ablation["answer"]}"; {words}'), markup=False)


def show_map(documents: Sequence[DocumentMap], num_documents: int) -> None:
    """A line per attended document: its beginning left, its end right, higher where more attention went; on stderr."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, min_width=len(documents[0].cells) if documents else None)  # cut, it would lie
    highest = max((cell for document in documents for cell in document.cells), default=1.0)
    for document in documents[:MAPPED]:
        pages = f"p. {', '.join(document.peak_names)}" if document.peaks else ""
        table.add_row(safe_line(document.name), internals.blocks(document.cells, highest), f"{document.share:.0%}", pages)
    console = stderr()
    console.print(table)
    if rest := num_documents - len(documents[:MAPPED]):
        console.print(f"{counted(rest, 'other document')}: little or nothing")


def _weak(answer: Answer, evidence: Evidence) -> list[str]:
    spans = ", ".join(f'"{answer.text[start:end].strip()}"' for start, end in evidence.weak)
    return [safe_line(f"weak support (the question, or what is always attended): {spans}")] if spans else []


def summary(statistics: Statistics, start: Startup | None = None) -> Table:
    """What an answer cost and how it was selected for; with the process's start, where the time to the first token went."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    s = statistics
    table.add_row("documents", f"{s.cached_tokens:,} tokens cached, {s.recomputed_tokens:,} computed again")
    table.add_row(
        "this answer",
        f"{s.prompt_tokens:,} prompt tokens ({READ[s.question_mode]}), {s.generated_tokens:,} generated ({s.stop_reason})",
    )
    if s.thought_tokens:
        cut = "" if s.thought_tokens < s.generated_tokens else "; it got no further: raise --max-new-tokens"
        table.add_row("thoughts", f"{counted(s.thought_tokens, 'token')} before the answer, not cited{cut}")
    if s.confidence is not None:
        table.add_row("confidence", f"{s.confidence:.0%} (how likely its own words were, in the mean)")
    table.add_row(
        "time",
        f"first token {duration(s.ttft_s)}, then {s.decode_tps:,.1f} tokens/s; loaded in {duration(s.load_s)}",
    )
    if start is not None:
        times = timing(s, start)
        parts = ", ".join(f"{name} {duration(times[key])}" for key, name in PARTS.items() if times[key] is not None)
        whole = times["from_start_s"]
        table.add_row("from start", f"{duration(whole)}: {parts}" if whole is not None else parts)
    for name, text in _selection_rows(s):
        table.add_row(name, text)
    for note in s.notes:
        table.add_row("note", safe_line(note))
    return table


def _selection_rows(s: Statistics) -> Iterator[tuple[str, str]]:
    """What was attended to, and who chose it."""
    reach = s.total_tokens + s.prompt_tokens + s.generated_tokens  # the question and the answer are attended, too
    if s.dense:
        yield "attention", f"dense, all of {s.total_tokens:,}"
    elif s.reading is not None:
        yield "heads", f"{counted(len(s.reading.heads), 'retrieval head')}, which read {s.reading.keys_scanned:.1%} of the keys"
        spans = sum(end - start for start, end in s.reading.passages)
        gain = f"; the question is {s.reading.gains[0]:.2f} nats per token likelier given the best" if s.reading.gains else ""
        yield "attended", f"{counted(len(s.reading.passages), 'passage')} of {spans:,} tokens of {s.total_tokens:,}{gain}"
    else:
        yield (
            "selected",
            f"{s.selected_mean:,.0f} tokens a step (k {s.k:,}, {s.metric} vote, pool {s.pool}); "
            f"attended {s.attended_mean:,.0f} of {reach:,} ({s.attended_mean / reach:.1%})",
        )
        yield "scan", SCANS[s.scan] + (_fidelity(s.fidelity) if s.fidelity else "")
        yield "reused", f"{s.cache_hit_rate:.0%} of selections (theta {s.theta})"


def _fidelity(fidelity: Fidelity) -> str:
    held = f"{fidelity.vote_mass:.1%} of the exact selection's votes, {fidelity.recall:.1%} of its tokens"
    return f"; compared {counted(fidelity.compared, 'time')}: {held}"


def show_sources(answer: Answer, top: int) -> None:
    """The pages that the answer's tokens voted for most, on stderr."""
    from rich.table import Table

    table = Table(title="most selected", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("page", justify="right")
    table.add_column("share", justify="right")
    for source in answer.sources[:top]:
        table.add_row(safe_line(source.name), source.page_name, f"{source.share:.0%}")
    console = stderr()
    console.print(table)
    console.print(f"shares of the votes of the answer's tokens; {tscli.CAVEAT}")


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


def timing(s: Statistics, start: Startup) -> dict[str, Any]:
    """Seconds. ttft_s, from the question to the first text, is question_s, first_decode_s and held_s; from_start_s, from the
    process's start to it, is all of PARTS; None where the process's start is not known.

    start: of the process, whose one question this was.
    """
    own = internals.statistics_json(s)["timing"]
    rest = {name: own.pop(name) for name in ("decode_tps", "total_s")}
    whole = None if start.process_s is None else start.process_s + start.import_s + s.load_s + s.ttft_s
    return {"process_start_s": start.process_s, "import_s": start.import_s, **own, "from_start_s": whole, **rest}


def answer_json(session: Session, answer: Answer, evidence: Evidence, start: Startup | None = None) -> dict[str, Any]:
    """What `ask --json` prints; start: see `timing`."""
    line = internals.answer_json(session, answer, evidence)
    return line if start is None else {**line, "timing": timing(answer.statistics, start)}
