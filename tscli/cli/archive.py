"""`tscli export | import`: a library as one file, to keep or to carry to another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import tscli
from tscli.cli import flags
from tscli.cli.completion import library_names
from tscli.cli.output import byte_progress, counted, print_json, safe_line, say, size


def export(
    context: typer.Context,
    name: flags.Named,
    file: Annotated[Path, typer.Argument(help="The archive to write.", metavar="FILE.tar")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: flags.Json = False,
) -> int:
    """Verify a library and write it into one file."""
    with byte_progress(context.obj, f"exporting library {name}") as on_bytes:
        num_bytes = tscli.export_library(name, file, force=force, on_bytes=on_bytes)
    if as_json:
        print_json({"library": name, "file": str(file), "bytes": num_bytes})
    say(context.obj, f"library {name} written into {safe_line(str(file))}, {size(num_bytes)}")
    return 0


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An archive that tscli export wrote.", metavar="FILE.tar")],
    name: Annotated[
        str | None,
        typer.Option(
            "--library", "-l", autocompletion=library_names, help="Name of the new library. Default: the name it had."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the library of that name.")] = False,
    as_json: flags.Json = False,
) -> int:
    """Make a library from an archive; it appears only after all of it has been verified."""
    with byte_progress(context.obj, f"importing {file}") as on_bytes:
        made = tscli.import_library(file, name, force=force, on_bytes=on_bytes)
    if as_json:
        print_json(
            {
                "library": made.name,
                "folder": str(made.folder),
                "documents": len(made.documents),
                "tokens": made.num_tokens,
                "bytes": made.size_bytes,
                "model": made.model_id,
            }
        )
    held = f"{counted(len(made.documents), 'document')}, {counted(made.num_tokens, 'token')}, {size(made.size_bytes)}"
    say(context.obj, f"library {made.name}: {held}, made by {safe_line(made.model_id)}")
    return 0
