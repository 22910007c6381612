"""`tscli calibrate`: find a model's retrieval heads."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import tscli
from tscli.cli import flags
from tscli.cli.output import Settings, fetch_model, print_json, safe_line, say, working
from tscli.cli.settings import without


def calibrate(
    context: typer.Context,
    *,
    again: Annotated[bool, typer.Option("--again", help="Calibrate again, even if this model has been calibrated.")] = False,
    model: Annotated[flags.Model, without("weights")],
    as_json: flags.Json = False,
) -> int:
    """Find a model's retrieval heads, the few that find what a question asks for. A model's first ingest does this."""
    settings: Settings = context.obj
    load = model.options()
    fetch_model(settings, load)
    with working(settings, "calibrating") as on_step:
        found = tscli.calibrate_model(load, again=again, on_progress=on_step)
    if as_json:
        print_json(asdict(found))
        return 0
    for line in heads_lines(found):
        print(line)
    say(settings, safe_line(f"saved for {load.model or tscli.default_model()}; tscli ask uses it"))
    return 0


def heads_lines(found: tscli.RetrievalHeads) -> list[str]:
    """What people are told of a model's retrieval heads."""
    heads = ", ".join(f"{layer}.{head} ({skill:.2f})" for (layer, head), skill in zip(found.heads, found.skill, strict=True))
    apart = ", each separately" if found.apart else ""
    contrast = f", weighted {1 + found.contrast:g} times against what the model expects without them" if found.contrast else ""
    return [
        f"heads      retrieval heads, as layer.head (skill): {heads}",
        f"answers    from {found.passages} passage{'s' if found.passages > 1 else ''}{apart}{contrast}; refused below a gain "
        f"of {found.absent_below:.2f} nats per token",
    ]
