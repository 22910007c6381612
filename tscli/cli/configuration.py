"""The configuration file: settings in TOML that override the defaults, and are overridden by the environment and flags.

Knows where the file is and which settings it may have; the parser puts them in force, as the defaults of a command's flags.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tscli.cli import old_names
from tscli.cli.flags import LIBRARY, SETTINGS
from tscli.errors import UsageError


def config_file() -> Path:
    """$TSCLI_CONFIG, or config.toml in the platform's configuration folder for this user."""
    if given := os.environ.get("TSCLI_CONFIG"):
        return Path(given).expanduser().absolute()
    from platformdirs import user_config_dir

    return Path(user_config_dir("tscli", appauthor=False)) / "config.toml"


def set_once(tell: Callable[[str], None] = lambda note: None) -> dict[str, str]:
    """What the file sets, by the commands' parameters; UsageError names file or variable, key and what is wrong.

    tell: called with a note on each variable and key that is set by its name of the version before.
    """
    for setting in SETTINGS.values():
        for variable in setting.variables:
            if value := os.environ.get(variable):
                setting.check(variable, value)
                if variable != setting.variable:
                    tell(old_names.renaming(variable, setting.variable))
    file = config_file()
    found = _read(file)
    for old, new in old_names.SETTINGS.items():
        if old in found:
            tell(old_names.renaming(f"{file}: {old}", new))
            found.setdefault(new, found.pop(old))
    for name, value in found.items():
        if name not in SETTINGS:
            raise UsageError(f"{file}: unknown setting {name!r}; choose from {', '.join(SETTINGS)}")
        SETTINGS[name].check(f"{file}: {name}", value)
    return {SETTINGS[name].parameter: str(value) for name, value in found.items()}


def defaults_of(command: Any, values: dict[str, str]) -> dict[str, Any]:
    """Such values as the parser wants them: by the parameters that a command has, and by the names of commands below it.

    Where it takes several libraries, the one that is set, also by the variable, is a list of one.
    """
    found: dict[str, Any] = {name: defaults_of(below, values) for name, below in getattr(command, "commands", {}).items()}
    for parameter in command.params:
        value = values.get(parameter.name)
        if getattr(parameter, "multiple", False) and parameter.name == LIBRARY.parameter:
            value = os.environ.get(LIBRARY.variable) or value
        if value is not None:
            found[parameter.name] = [value] if getattr(parameter, "multiple", False) else value
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get("TSCLI_CONFIG"):
            raise UsageError(f"{file}: no such file; create it, or change TSCLI_CONFIG") from None
        return {}
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise UsageError(f"{file}: not a TOML file ({error}); correct it") from error
