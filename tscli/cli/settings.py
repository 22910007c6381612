"""Turns flags that are defined once into parameters of each command that takes them. Knows the parser and no particular flag.

A setting is a flag that can be set once, too: in the environment, and in the file of `tscli config`. Flags that go together are
the fields of a dataclass, of which a command's function takes an object; the parser sees the fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache, wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from tscli.cli import old_names
from tscli.cli.output import say
from tscli.errors import UsageError


@dataclass(frozen=True)
class Kind:
    """What a setting's value may be: in words, and as a check of the text that is given."""

    words: str
    accepts: Callable[[str], bool]


def matching(words: str, pattern: str) -> Kind:
    """A text that this regular expression matches as a whole."""
    return Kind(words, lambda text: re.fullmatch(pattern, text) is not None)


def one_of(*values: str) -> Kind:
    """One of these words."""
    return Kind(f"{', '.join(values[:-1])} or {values[-1]}", lambda text: text in values)


@dataclass(frozen=True, eq=False)
class Setting:
    """A flag, and where it can be set once its variable and its key in the file; the metadata of an annotation.

    name: its key; TSCLI_ and the name in capitals is its variable, -- and the name its flag. default: where nobody gives it.
    parameter: of the commands, where that is not the name. short: a second flag. positional: an argument instead of a flag.
    once: whether variable and file set it. renamed: values by their names of the version before, to the present ones.
    complete: what the shell offers. annotation: the type of its value; `settings_of` fills it in.
    """

    name: str
    default: Any
    kind: Kind
    help: str
    parameter: str = ""
    short: str = ""
    positional: bool = False
    once: bool = True
    renamed: Mapping[str, str] = field(default_factory=dict)
    complete: Callable[[str], list[str]] | None = None
    annotation: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameter", self.parameter or self.name)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return _variable(self.name)

    @property
    def variables(self) -> list[str]:
        """The same, and its names of the version before."""
        return [self.variable, *(_variable(old) for old, new in old_names.SETTINGS.items() if new == self.name)]

    @property
    def flag(self) -> str:
        """As it is written on the command line."""
        return self.name.upper() if self.positional else f"--{self.name.replace('_', '-')}"

    def check(self, place: str, value: object) -> None:
        """UsageError names the place where it was given, the value, and what it must be."""
        plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        if not plain or not (self.kind.accepts(str(value)) or str(value) in self.renamed):
            raise UsageError(f"{place} is {value!r}; it must be {self.kind.words}")

    def taken(self, context: typer.Context, value: Any) -> Any:
        """A value from anywhere, as a command gets it: checked, and by its present name."""
        if context.resilient_parsing:  # of a shell that completes a line
            return value
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None and one != self.default:
                self.check(self.flag, one)
        if not isinstance(value, str) or value not in self.renamed:
            return value
        say(context.obj, old_names.renaming(f'{self.name.replace("_", " ")} "{value}"', f'"{self.renamed[value]}"'))
        return self.renamed[value]

    def parameter_info(self, several: bool) -> Any:
        """For the parser. several: it may be given again; then `configuration` brings what is set once, because a parser cuts a
        variable at its spaces."""
        settings: dict[str, Any] = {"help": self.help, "autocompletion": self.complete, "callback": _callback(self)}
        settings["envvar"] = self.variables if self.once and not several else None
        if self.positional:
            return typer.Argument(**settings)
        return typer.Option(self.flag, *([self.short] if self.short else []), **settings)


@dataclass(frozen=True)
class FlagSubset:
    """The flags of a group that a command has; the others keep their defaults."""

    names: tuple[str, ...]
    without: bool = False

    def __contains__(self, name: str) -> bool:
        return (name in self.names) != self.without


def only(*names: str) -> FlagSubset:
    """Of a group these flags."""
    return FlagSubset(names)


def without(*names: str) -> FlagSubset:
    """Of a group all but these flags."""
    return FlagSubset(names, without=True)


def settings_of(*sources: Any) -> dict[str, Setting]:
    """The settings that these annotations and dataclasses of flags define and that can be set once, by their names."""
    found: dict[str, Setting] = {}
    for source in sources:
        for annotated in get_type_hints(source, include_extras=True).values() if is_dataclass(source) else [source]:
            base, setting, _ = _split(annotated)
            if setting is not None and setting.once:
                found[setting.name] = replace(setting, annotation=base)
    return found


def with_flags(command: Callable[..., Any], *more: Setting) -> Callable[..., Any]:
    """The command as the parser calls it: settings as its parameters, and for each dataclass of flags the fields of it.

    more: flags that the command has without being given their values; it finds them in its context.
    """
    shown: list[Parameter] = []
    groups: dict[str, tuple[type, list[str], dict[str, Any]]] = {}
    for parameter in signature(command, eval_str=True).parameters.values():
        kind, _, chosen = _split(parameter.annotation)
        if is_dataclass(kind) and isinstance(kind, type):
            offered = [one for one in _fields(kind) if chosen is None or one.name in chosen]
            rest = {one.name: _default(one) for one in _fields(kind) if chosen is not None and one.name not in chosen}
            groups[parameter.name] = kind, [one.name for one in offered], rest
            shown += offered
        else:
            shown.append(parameter)
    shown += [Parameter(one.parameter, Parameter.KEYWORD_ONLY, annotation=Annotated[one.annotation, one]) for one in more]
    flags = [_for_parser(parameter) for parameter in shown]

    @wraps(command)
    def run(**values: Any) -> Any:
        for one in more:
            del values[one.parameter]
        for name, (group, offered, rest) in groups.items():
            values[name] = group(**rest, **{one: values.pop(one) for one in offered})
        return command(**values)

    run.__signature__ = Signature(flags)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in flags}
    return run


@cache
def _fields(group: type) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    defaults = {one.name: Parameter.empty if one.default is MISSING else one.default for one in fields(group)}
    return [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=hints[name], default=default) for name, default in defaults.items()
    ]


def _default(parameter: Parameter) -> Any:
    _, setting, _ = _split(parameter.annotation)
    return setting.default if setting is not None else parameter.default


def _for_parser(parameter: Parameter) -> Parameter:
    """A parameter that the parser understands: of a setting its flag and its default."""
    base, setting, _ = _split(parameter.annotation)
    if setting is None:
        return parameter.replace(kind=Parameter.KEYWORD_ONLY)
    several = get_origin(base) is list
    annotation = Annotated[base, setting.parameter_info(several)]  # type: ignore[valid-type]
    default = [setting.default] if several else setting.default
    return parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _variable(name: str) -> str:
    return f"TSCLI_{name.upper()}"


def _callback(setting: Setting) -> Callable[[typer.Context, Any], Any]:
    def taken(context: typer.Context, value: Any) -> Any:
        return setting.taken(context, value)

    return taken


def _split(annotation: Any) -> tuple[Any, Setting | None, FlagSubset | None]:
    """An annotation's type, the setting that it defines and the choice among a group's flags, where there is one."""
    if get_origin(annotation) is not Annotated:
        return annotation, None, None
    base, *marks = get_args(annotation)
    setting = next((mark for mark in marks if isinstance(mark, Setting)), None)
    return base, setting, next((mark for mark in marks if isinstance(mark, FlagSubset)), None)
