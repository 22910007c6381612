"""`tscli doctor`: what this machine has, and what a library would need. `tscli path`: the folder of the libraries."""

from __future__ import annotations

from typing import Annotated

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.old_names import renaming
from tscli.cli.output import Settings, fetch_model, print_json, safe_line, say, size, working
from tscli.cli.settings import without


def doctor(
    context: typer.Context,
    *,
    tokens: Annotated[str, typer.Option(help="Size of the library to plan for, in tokens, such as 256k or 1m.")] = "1m",
    model: Annotated[flags.Model, without("weights")],
    as_json: flags.Json = False,
) -> int:
    """Show what this machine has (versions, processor, GPU, memory, disk) and what a library would need."""
    settings: Settings = context.obj
    load, num_tokens = model.options(), internals.parse_count(tokens)
    fetch_model(settings, load)
    with working(settings, "examining this machine") as on_step:
        found = internals.examine(load, num_tokens, on_step)
    if as_json:
        print_json({**vars(found), "home": str(found.home)})
        return 0
    named = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    native = "bfloat16 in hardware" if found.bfloat16 else "no bfloat16 in hardware: float32 is used"
    print(f"versions   {named}")
    print(f"processor  {safe_line(found.processor)}, {found.cores} cores, {native}")
    print(f"GPU        {f'{safe_line(found.gpu)}, {size(found.gpu_bytes or 0)}' if found.gpu else 'none that torch can use'}")
    if found.memory_bytes:
        print(f"memory     {size(found.memory_bytes)}, {size(found.memory_free_bytes or 0)} available")
    print(f"libraries  {safe_line(str(found.home))}, {size(found.disk_free_bytes)} free on that disk")
    by_default = " (the default)" if found.model == found.default_model else f" (default: {found.default_model})"
    weights = f"{size(found.model_bytes)} in {found.dtype}"
    print(f"model      {safe_line(found.model)}{by_default}, {weights}, trained for {found.window:,} tokens")
    parts = f"{size(found.kv_bytes_per_token)} per token, and at most a sixteenth more for scans"
    print(f"a library  {found.tokens:,} tokens take at most {size(found.library_bytes)} of disk ({parts})")
    if found.better:
        say(settings, found.better)
    if found.library_bytes > found.disk_free_bytes:
        say(
            settings,
            "that is more than this disk has free: ingest fewer documents, or keep libraries elsewhere with TSCLI_HOME",
        )
    return 0


def path() -> int:
    """Print the path of the folder that holds the libraries."""
    print(tscli.home())
    return 0


def where(context: typer.Context) -> int:
    """As `path`, by its name of the version before."""
    say(context.obj, renaming("tscli where", "tscli path"))
    return path()
