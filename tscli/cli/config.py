"""`tscli config`: every setting, and where its value comes from."""

from __future__ import annotations

import typer

from tscli.cli import flags
from tscli.cli.configuration import config_file
from tscli.cli.output import print_json, safe_line, say
from tscli.cli.settings import Setting
from tscli.cli.tables import Table, write


def config(context: typer.Context, as_json: flags.Json = False) -> int:
    """Show every setting and where its value comes from: a flag, the environment, the configuration file or the default."""
    file = config_file()
    values = {name: context.params[setting.parameter] for name, setting in flags.SETTINGS.items()}
    sources = {name: _source(context, setting) for name, setting in flags.SETTINGS.items()}
    if as_json:
        settings = {name: {"value": values[name], "from": sources[name]} for name in values}
        print_json({"file": str(file), "file_exists": file.exists(), "settings": settings})
        return 0
    places = {"file": str(file), "flag": "flag", "default": "default"}
    rows = [
        (
            name,
            "-" if value is None else safe_line(str(value)),
            safe_line(places.get(sources[name]) or flags.SETTINGS[name].variable),
        )
        for name, value in values.items()
    ]
    write("text", Table((), "<<<", rows), ())
    say(
        context.obj,
        f"-: the model or the library decides. Configuration file: {file}{'' if file.exists() else ' (it does not exist)'}",
    )
    return 0


def _source(context: typer.Context, setting: Setting) -> str:
    names = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": "file", "DEFAULT": "default"}
    source = context.get_parameter_source(setting.parameter)
    assert source is not None
    return names[source.name]
