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
        voters = tscli.calibrate_model(load, again=again, on_progress=on_step)
    if as_json:
        print_json(asdict(voters))
        return 0
    for line in voters_lines(voters):
        print(line)
    say(settings, safe_line(f"saved for {load.model or tscli.default_model()}; tscli ask uses it"))
    return 0


def voters_lines(voters: tscli.Voters) -> list[str]:
    """What people are told of a model's retrieval heads."""
    heads = ", ".join(f"{layer}.{head} ({skill:.2f})" for (layer, head), skill in zip(voters.heads, voters.skill, strict=True))
    apart = ", each separately" if voters.apart else ""
    contrast = (
        f", weighted {1 + voters.contrast:g} times against what the model expects without them" if voters.contrast else ""
    )
    return [
        f"heads      retrieval heads, as layer.head (skill): {heads}",
        f"answers    from {voters.passages} passage{'s' if voters.passages > 1 else ''}{apart}{contrast}; refused below a gain "
        f"of {voters.absent_below:.2f} nats per token",
    ]
