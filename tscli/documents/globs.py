"""Globs: their alternatives in braces, and their regular expressions, made so that no name and no pattern takes them long.

Knows pathspec's way of writing them.

`*a*a*a*b` would be tried at every choice of every star: a name of 250 letters then takes minutes, and whoever makes a folder
makes its ignore files. Of several stars in a name the first match of each but the last is as good as any other, and so it is
for folders between `**`: those matches are fixed by atomic groups.
"""

from __future__ import annotations

import re

from tscli.errors import UsageError

STAR = re.escape("[^/]*")
# What stands for exactly one character of a name: an escaped one, a set of them, or itself.
SET = r"\[(?:\\.|[^\]\\])+\](?!\*)"
ONE = rf"(?:\\.|(?:\(\?!/\))?{SET}|[^\\\[\](){{}}*+?|^$./])"
SETS = re.compile(rf"\\.|\[\^/\]\*?|({SET})")
STARS = re.compile(rf"{STAR}({ONE}*)(?={STAR})")
LAZY = {"(?:.+/)?": "(?:.+?/)??", "(?:/.+)?": "(?:/.+?)??"}  # any folders: those in front of all, those in between
FOLDERS = "|".join(map(re.escape, LAZY))
BETWEEN = re.compile(rf"({FOLDERS})((?:(?!{FOLDERS}).)+)(?={re.escape('(?:/.+)?')})")


def bounded(regex: re.Pattern[str]) -> re.Pattern[str]:
    """What matches the names that a glob's pattern matches (but no set a slash), in time that is a small power of length."""
    text = SETS.sub(lambda found: f"(?!/){found[1]}" if found[1] else found[0], regex.pattern)
    text = BETWEEN.sub(lambda found: f"(?>{LAZY[found[1]]}{found[2]}(?=/))", text)
    return re.compile(STARS.sub(r"(?>[^/]*?\1)", text))


MOST_ALTERNATIVES = 10_000
# What braces and commas may stand in without their meaning: an escape, a set.
PIECES = re.compile(r"\\.|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


def alternatives(glob: str) -> list[str]:
    """The globs that `*.{md,txt}` stands for, braces within braces too; as in ripgrep, an empty alternative is none.

    UsageError for a brace without its partner, and for more than MOST_ALTERNATIVES.
    """
    stack: list[tuple[list[str], list[str]]] = [([], [""])]  # for each open brace: alternatives so far, and the one begun
    for piece in PIECES.findall(glob):
        done, begun = stack[-1]
        if piece == "{":
            stack.append(([], [""]))
        elif piece == "," and len(stack) > 1:
            done += begun
            stack[-1] = (done, [""])
        elif piece == "}":
            if len(stack) == 1:
                raise UsageError(f"--glob {glob}: }} closes nothing; add {{, or escape it as \\}}")
            stack.pop()
            choices = [choice for choice in (*done, *begun) if choice] or [""]
            before, heads = stack[-1]
            if len(heads) * len(choices) > MOST_ALTERNATIVES:
                raise UsageError(f"--glob {glob}: more than {MOST_ALTERNATIVES:,} alternatives; give fewer")
            stack[-1] = (before, [head + choice for head in heads for choice in choices])
        else:
            stack[-1] = (done, [head + piece for head in begun])
    if len(stack) > 1:
        raise UsageError(f"--glob {glob}: {{ is not closed; add }}, or escape it as \\{{")
    return stack[0][1]
