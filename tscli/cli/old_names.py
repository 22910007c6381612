"""Flags by the names that they had in the version before: they still work, and a note says what they are called now.

To be emptied with each version. What a question mode was called is known beside the modes (`flags.QuestionMode`).
"""

from __future__ import annotations

FLAGS = {"ask": {"--together": "--batch-size", "--check": "--ablate"}}  # by command: old, new


def with_new_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments of a command with its flags by their present names, and a note on each that was given by its old one."""
    names = FLAGS.get(arguments[0], {}) if arguments else {}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    renamed, notes = list[str](), list[str]()
    for argument in arguments[:end]:
        flag, equals, value = argument.partition("=")
        if flag in names:
            notes.append(renaming(flag, names[flag]))
        renamed.append(names.get(flag, flag) + equals + value)
    return renamed + arguments[end:], notes


def renaming(old: str, new: str) -> str:
    """The note on a name that changed."""
    return f"note: {old} is called {new} now; the old name goes with the next version"
