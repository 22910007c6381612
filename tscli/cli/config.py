"""`tscli config`: what the flags are that nobody gives, and where each comes from."""

from __future__ import annotations

import typer

import tscli
from tscli.cli import flags
from tscli.cli.configuration import KEYS, config_file, parameter, variable
from tscli.cli.output import print_json, safe_line, say


def config(
    context: typer.Context,
    library: flags.Library = "default",
    model: flags.Model = None,
    revision: flags.Revision = None,
    dtype: flags.Dtype = "auto",
    device: flags.Device = "auto",
    question_mode: flags.QuestionMode = None,
    voters: flags.Voters = None,
    k: flags.K = None,
    n_init: flags.NInit = None,
    n_local: flags.NLocal = None,
    chunk: flags.Chunk = None,
    theta: flags.Theta = None,
    pool: flags.Pool = None,
    metric: flags.Metric = None,
    scale: flags.Scale = None,
    system: flags.System = None,
    max_tokens: flags.MaxTokens = "1m",
    max_new_tokens: flags.MaxNewTokens = 128,
    stats: flags.Stats = "short",
    top: flags.Top = 5,
    as_json: flags.Json = False,
) -> int:
    """Show the settings in force, and where each comes from: a flag, the environment, the file or the default."""
    tscli.SelectionOptions(k, n_init, n_local, chunk, theta, scale, pool, metric).check()
    file = config_file()
    values = {name: context.params[parameter(name)] for name in KEYS}
    sources = {name: _source(context, name) for name in KEYS}
    if as_json:
        settings = {name: {"value": values[name], "from": sources[name]} for name in KEYS}
        print_json({"file": str(file), "file_exists": file.exists(), "settings": settings})
        return 0
    shown = {name: "-" if value is None else safe_line(str(value)) for name, value in values.items()}
    places = {"file": str(file)} | {"environment": "", "flag": "flag", "default": "default"}
    wide, wider = max(map(len, KEYS)), max(map(len, shown.values()))
    for name in KEYS:
        place = places[sources[name]] or variable(name)
        print(f"{name:<{wide}}  {shown[name]:<{wider}}  {safe_line(place)}")
    say(context.obj, f"- is left to the model or the library; the file is {file}{'' if file.exists() else ' (there is none)'}")
    return 0


def _source(context: typer.Context, name: str) -> str:
    names = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": "file", "DEFAULT": "default"}
    source = context.get_parameter_source(parameter(name))
    assert source is not None
    return names[source.name]
