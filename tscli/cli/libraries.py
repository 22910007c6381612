"""`tscli list | info | verify | repair | rm | prune`: looking after libraries."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli.cli import flags
from tscli.cli.output import (
    Settings,
    counted,
    error_line,
    kinds,
    per_token,
    print_json,
    progress,
    safe_line,
    say,
    size,
    working,
)
from tscli.cli.tables import Table, write
from tscli.errors import LibraryError, UsageError
from tscli.paths import library_folder

if TYPE_CHECKING:
    from tscli import LibraryInfo


def list_(context: typer.Context, as_json: flags.Json = False) -> int:
    """List the libraries: size, tokens, last use, model."""
    found = tscli.libraries()
    if as_json:
        print_json(
            [
                {
                    "library": info.name,
                    "documents": info.num_documents,
                    "tokens": info.num_tokens,
                    "bytes": info.size_bytes,
                    "model": info.model_id,
                    "dtype": info.dtype,
                    "kv_dtype": info.kv_dtype,
                    "weights": info.weights,
                    "updated": info.updated,
                    "last_used": info.last_used,
                    "error": info.error,
                }
                for info in found
            ]
        )
        return 0
    if not found:
        say(context.obj, f"no libraries in {tscli.home()}; make one with: tscli ingest PATH")
        return 0
    table = Table(("library", "on disk", "tokens", "last use", "model"), "<>><<", [_listed(info) for info in found])
    write("text", table, ())
    return 0


def _listed(info: LibraryInfo) -> tuple[str, ...]:
    last = _minute(info.last_used) if info.last_used else "-"
    model = f"{info.model_id} ({kinds(info.dtype, info.kv_dtype, info.weights)})"
    held = f"damaged: {info.error}" if info.error else model
    return (info.name, size(info.size_bytes), "?" if info.error else f"{info.num_tokens:,}", last, held)


def info(context: typer.Context, library: flags.Name, as_json: flags.Json = False) -> int:
    """Show what a library holds."""
    details = tscli.info(library)
    if as_json:
        print_json(
            {
                "library": details.name,
                "folder": str(details.folder),
                "documents": [
                    {"file": d["path"], "pages": d["num_pages"], "tokens": d["token_end"] - d["token_start"]}
                    for d in details.documents
                ],
                "tokens": details.num_tokens,
                "segments": details.segments,
                "bytes": details.size_bytes,
                "bytes_per_token": vars(details.bytes_per_token),
                "model": details.model_id,
                "dtype": details.dtype,
                "kv_dtype": details.kv_dtype,
                "weights": details.weights,
                "prefill": details.settings,
                "template": details.template,
                "created": details.created,
                "updated": details.updated,
            }
        )
        return 0
    print(f"library    {details.name}")
    print(f"folder     {safe_line(str(details.folder))}")
    print(f"model      {safe_line(details.model_id)} ({safe_line(kinds(details.dtype, details.kv_dtype, details.weights))})")
    print(f"tokens     {details.num_tokens:,} in {counted(details.segments, 'segment')}, {size(details.size_bytes)}")
    print(f"per token  {per_token(details.bytes_per_token)}")
    print(f"made       {_minute(details.created)}, last changed {_minute(details.updated)}")
    settings = (f"{name} {value}" for name, value in details.settings.items() if value not in (None, False))
    print(f"prefill    {safe_line(', '.join(settings))}")
    print(f"prompt     {_prompt(details.template)}")
    print(f"documents  {len(details.documents):,}")
    for document in details.documents:
        tokens = document["token_end"] - document["token_start"]
        print(f"  {safe_line(document['path'])}  {counted(document['num_pages'], 'page')}, {counted(tokens, 'token')}")
    return 0


def _prompt(template: dict[str, Any]) -> str:
    """By what template questions are asked, and the instruction that stands before the documents."""
    source = "plain text" if template["source"] == "default" else "the model's chat template"
    reason = f" (no chat template: {template['reason']})" if template["reason"] else ""
    system = f'; before the documents: "{template["system"]}"' if template["system"] else ""
    return safe_line(f"{source}{reason}{system}")


def verify(
    context: typer.Context,
    library: flags.Name,
    rebuild_sketch: Annotated[
        bool, typer.Option("--rebuild-sketch", help="Before verifying, rebuild the sketch from the keys.")
    ] = False,
    as_json: flags.Json = False,
) -> int:
    """Check all files of a library against their checksums."""
    if rebuild_sketch:
        with working(context.obj, f"making the sketch of {library}"):
            made = tscli.rebuild_sketch(library)
        say(context.obj, f"library {library}: {'sketch rebuilt' if made else 'too short to need a sketch'}")
    problems = tscli.verify(library)
    if as_json:
        print_json({"library": library, "problems": [vars(problem) for problem in problems]})
    for problem in problems:
        error_line(f"{safe_line(problem.file)}: {safe_line(problem.reason)}")
    if problems:
        error_line(f"to repair it: tscli repair {safe_line(library)}")
        return LibraryError.exit_code
    say(context.obj, f"library {library}: every file is as it was written")
    return 0


def repair(context: typer.Context, library: flags.Name, as_json: flags.Json = False) -> int:
    """Recompute the damaged parts of a library, and nothing else."""
    with progress(context.obj) as show:
        report = tscli.repair(library, lambda done, total, _: show(f"repairing library {library}", done, total))
    if as_json:
        print_json(
            {
                "library": report.library,
                "problems": [vars(problem) for problem in report.problems],
                "tokens": {"total": report.total_tokens, "recomputed": report.recomputed_tokens},
            }
        )
    for problem in report.problems:
        say(context.obj, f"rebuilt: {safe_line(problem.file)}: {safe_line(problem.reason)}")
    again = f"{report.recomputed_tokens:,} of {counted(report.total_tokens, 'token')} computed again"
    say(context.obj, f"library {library}: {again}; every file is as it was written")
    return 0


def rm(
    context: typer.Context,
    name: flags.Named,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    as_json: flags.Json = False,
) -> int:
    """Remove a library; its documents are not touched."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(f"rm {name}: there is no terminal to confirm on; add --yes to remove it")
    if not yes and not typer.confirm(f"Remove library {name} ({_what_is_lost(name)})?", err=True):
        error_line(f"library {name} was not removed")
        return 1
    tscli.remove(name)
    if as_json:
        print_json({"library": name, "removed": True})
    say(context.obj, f"library {name} removed")
    return 0


def prune(context: typer.Context, library: flags.Name, as_json: flags.Json = False) -> int:
    """Remove segments that a library no longer uses."""
    settings: Settings = context.obj
    files, num_bytes = tscli.prune(library)
    if as_json:
        print_json({"library": library, "files": files, "bytes": num_bytes})
    say(settings, f"library {library}: {counted(files, 'file')} removed, {size(num_bytes)}")
    return 0


def _what_is_lost(library: str) -> str:
    """What the question before removing says; a damaged library, or one of which nothing is finished, can be removed too, an
    absent one is an error."""
    damaged = {info.name: info.error for info in tscli.libraries() if info.error}
    if library in damaged:
        return "damaged"
    try:
        details = tscli.info(library)
    except LibraryError:
        if library_folder(library).is_dir():
            return "an ingest that was stopped before anything was finished"
        raise
    return f"{counted(details.num_tokens, 'token')}, {size(details.size_bytes)}"


def _minute(moment: str) -> str:
    """A time as libraries keep it, to the minute, as clocks here show it."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, TypeError, OverflowError):  # a manifest that was edited
        return safe_line(str(moment))
