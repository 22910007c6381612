"""Regular expressions of globs, made so that no name and no pattern takes them long. Knows pathspec's way of writing them.

`*a*a*a*b` would be tried at every choice of every star: a name of 250 letters then takes minutes, and whoever makes a folder
makes its ignore files. Of several stars in a name the first match of each but the last is as good as any other, and so it is
for folders between `**`: those matches are fixed by atomic groups.
"""

from __future__ import annotations

import re

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
