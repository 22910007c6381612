"""`tscli model list | get | rm | show`: the models on this machine, and those that can be downloaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tscli
from tscli import internals
from tscli.cli import flags
from tscli.cli.calibrate import heads_lines
from tscli.cli.completion import model_names
from tscli.cli.output import Settings, error_line, fetch_model, print_json, safe_line, say, size
from tscli.cli.tables import Table, write
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import ModelDetails

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, download, show and remove models, by short name, hub id, folder or .gguf file.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Name = Annotated[
    str, typer.Argument(autocompletion=model_names, help="A name from tscli model list, a hub id, a folder or a .gguf file.")
]
KINDS = ("bfloat16", "int8")
HEADS = ("name", "here", "weights", "window", "KV a token", "a million tokens", "licence", "hub id or file")


@app.command("list", short_help="List the models: size, window, disk that a library takes.")
def list_(context: typer.Context, as_json: flags.Json = False) -> int:
    """List the models: their size, window and licence, and the size of their keys and values."""
    found = tscli.models()
    table = Table(HEADS, "<<>><<<<", [_row(model) for model in found])
    write("json" if as_json else "text", table, [_fields(model) for model in found])
    if as_json:
        return 0
    say(context.obj, "* is the default; KV and a million tokens: the size of keys and values in bfloat16 / int8 (--kv-dtype)")
    for model in found:
        if model.note:
            say(context.obj, safe_line(f"{model.name}: {model.note}"))
    return 0


@app.command("get", short_help="Download a model, or convert a .gguf file.")
def get(context: typer.Context, name: Name) -> int:
    """Get a model onto this machine: download it, or convert a .gguf file."""
    settings: Settings = context.obj
    before = tscli.default_model()
    folder = fetch_model(settings, tscli.LoadOptions(name))
    say(settings, safe_line(f"{name}: in {folder}"))
    if tscli.default_model() != before:
        say(settings, f"{tscli.default_model()} is the default model from now on; existing libraries keep theirs")
    return 0


@app.command("rm", short_help="Remove a downloaded or converted model.")
def rm(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> int:
    """Remove a model that tscli downloaded or converted. Its libraries stay, but need it to answer."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(f"model rm {name}: there is no terminal to confirm on; add --yes to remove it")
    details = tscli.describe_model(name)
    made = [info.name for info in tscli.libraries() if not info.error and info.model_id == details.name]
    needed = f", the model of {', '.join(made)}" if made else ""
    question = safe_line(f"Remove model {name} ({size(details.num_bytes)}{needed})?")
    if not yes and not typer.confirm(question, err=True):
        error_line(f"model {name} was not removed")
        return 1
    freed = tscli.remove_model(name)
    say(context.obj, safe_line(f"model {name} removed: {size(freed)}"))
    return 0


@app.command("show", short_help="Show what is known about a model.")
def show(context: typer.Context, name: Name, as_json: flags.Json = False) -> int:
    """Show what is known about a model, on this machine or not, without loading or downloading it."""
    model = tscli.describe_model(name)
    if as_json:
        print_json(_fields(model))
        return 0
    shape = f"{model.layers} layers, {model.kv_heads} kv heads of {model.head_dim}"
    parameters = f"{_count(model.parameters)} parameters, " if model.parameters else ""
    print(f"model      {safe_line(model.name)}{' (the default)' if model.is_default else ''}")
    if model.hub_id and model.hub_id != model.name:
        print(f"hub        {safe_line(model.hub_id)}")
    if model.licence:
        print(f"licence    {safe_line(model.licence)}")
    print(f"weights    {parameters}{size(model.num_bytes)}{'' if model.folder or model.source == 'gguf' else ' to download'}")
    print(f"shape      {shape}, trained for {model.window:,} tokens")
    print(f"KV         {_both(model.kv_bytes(kind) for kind in KINDS)} a token, in {' / '.join(KINDS)}")
    print(f"a library  of a million tokens takes {_both(model.million_bytes(kind) for kind in KINDS)}")
    if model.file:
        print(f"file       {safe_line(model.file)}")
    print(f"folder     {safe_line(str(model.folder)) if model.folder else _how_to_get(model)}")
    if model.weights_hash:
        print(f"hash       {model.weights_hash}")
        for line in _heads(model.weights_hash):
            print(line)
    if model.note:
        say(context.obj, safe_line(f"note: {model.note}"))
    return 0


def _heads(weights_hash: str) -> list[str]:
    """The heads that vote for passages, where a calibration found them."""
    found = internals.load_retrieval_heads(weights_hash)
    return heads_lines(found) if found else ["heads      not calibrated yet: the first ingest does it, or tscli calibrate"]


def _row(model: ModelDetails) -> tuple[str, ...]:
    here = "*" if model.is_default else "yes" if model.folder else "-"
    return (
        model.name.rsplit("/", 1)[-1],
        here,
        size(model.num_bytes),
        f"{model.window:,}",
        _both(model.kv_bytes(kind) for kind in KINDS),
        _both(model.million_bytes(kind) for kind in KINDS),
        model.licence or "-",
        model.hub_id or model.file or "-",
    )


def _both(values: Any) -> str:
    return " / ".join(map(size, values))


def _count(parameters: int) -> str:
    """135M, 1.7B."""
    return (
        f"{parameters / 1e9:.1f}B"
        if parameters >= 1e9
        else f"{parameters / 1e6:.0f}M"
        if parameters >= 1e7
        else f"{parameters:,}"
    )


def _how_to_get(model: ModelDetails) -> str:
    what = "not converted yet" if model.source == "gguf" else "not on this machine"
    return safe_line(f"{what}: tscli model get {model.name}")


def _fields(model: ModelDetails) -> dict[str, Any]:
    return {
        "model": model.name,
        "source": model.source,
        "hub_id": model.hub_id,
        "licence": model.licence,
        "folder": str(model.folder) if model.folder else None,
        "file": model.file,
        "default": model.is_default,
        "bytes": model.num_bytes,
        "parameters": model.parameters,
        "window": model.window,
        "layers": model.layers,
        "kv_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "kv_bytes_per_token": {kind: model.kv_bytes(kind) for kind in KINDS},
        "million_tokens_bytes": {kind: model.million_bytes(kind) for kind in KINDS},
        "weights_hash": model.weights_hash,
        "note": model.note or None,
    }
