"""Flags and commands by the names that they had in the version before: they still work, and a note says what they are called
now.

To be emptied with each version. Values by their old names are defined with the settings (`flags.py`).
"""

from __future__ import annotations

SETTINGS = {"question": "question_mode"}  # old, new: as flags, as variables and as keys of the configuration file
_SETTING_FLAGS = {f"--{old.replace('_', '-')}": f"--{new.replace('_', '-')}" for old, new in SETTINGS.items()}
FLAGS = {  # by command: old, new
    "ask": {"--together": "--batch-size", "--check": "--ablate", **_SETTING_FLAGS},
    **dict.fromkeys(("chat", "eval", "config"), _SETTING_FLAGS),
}
# By command: flags that became commands below it; their values come first there, or stay after the flag, or there is none.
COMMANDS = {
    "eval": {"--questions": ("questions", "first"), "--length": ("tasks", "stays")},
    "bench": {"--attention": ("attention", "none")},
}


def with_new_names(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments of a command with all names as they are now, and a note on each that was given by its old one."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given, notes = _with_new_command(arguments[:end])
    names = FLAGS.get(arguments[0], {}) if arguments else {}
    renamed = list[str]()
    for argument in given:
        flag, equals, value = argument.partition("=")
        if flag in names:
            notes.append(renaming(flag, names[flag]))
        renamed.append(names.get(flag, flag) + equals + value)
    return renamed + arguments[end:], notes


def _with_new_command(arguments: list[str]) -> tuple[list[str], list[str]]:
    became = COMMANDS.get(arguments[0], {}) if arguments else {}
    if arguments[1:2] and arguments[1] in [command for command, _ in became.values()]:
        return arguments, []
    for flag, (command, value) in became.items():
        at = next((place for place, one in enumerate(arguments) if one.partition("=")[0] == flag), None)
        if at is None:
            continue
        note = renaming(f"tscli {arguments[0]} {flag}", f"tscli {arguments[0]} {command}")
        joined = "=" in arguments[at]
        taken = [arguments[at].partition("=")[2]] if joined else arguments[at + 1 : at + 2]
        if value == "first":
            return [arguments[0], command, *taken, *arguments[1:at], *arguments[at + (1 if joined else 2) :]], [note]
        rest = arguments[1:] if value == "stays" else arguments[1:at] + arguments[at + 1 :]
        return [arguments[0], command, *rest], [note]
    return arguments, []


def renaming(old: str, new: str) -> str:
    """The note on a name that changed."""
    return f"note: {old} is called {new} now; the next version drops the old name"
