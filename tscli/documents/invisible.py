"""Invisible characters: removed from a text, and reported where they can hide words or reverse their order."""

from __future__ import annotations

import re

TAGS = "\U000e0000-\U000e007f"  # a whole ASCII that no font shows
SELECTORS = "\U000e0100-\U000e01ef"  # variants of East Asian characters; by the row, hidden bytes
OVERRIDES = "\u202a-\u202e\u2066-\u2069"  # turn the order around in which letters are shown
# Soft hyphen, spaces of no width, marks of direction, invisible operators, what annotates.
QUIET = "\u00ad\u200b\u200e\u200f\u2060-\u2064\u206a-\u206f\u061c\u180e\ufeff\ufff9-\ufffb"
JOINERS = "\u200c\u200d"  # part of the spelling in many scripts, and of emoji; between Latin letters they are nothing
ANY = re.compile(f"[{TAGS}{SELECTORS}{OVERRIDES}{QUIET}{JOINERS}]")
TAKEN_OUT = re.compile(
    f"[{TAGS}{SELECTORS}{OVERRIDES}{QUIET}]+|(?<![\u02b0-\U0010ffff])[{JOINERS}]+|[{JOINERS}]+(?=[\x00-\u02af]|$)"
)
FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f")  # of Scotland, Wales: these tags do show
HIDING = re.compile(f"[{TAGS}]+|[{SELECTORS}]{{2,}}|[\u202d\u202e]|[{QUIET}{JOINERS}]{{8,}}")


def visible(text: str) -> str:
    """The text without what is invisible."""
    return TAKEN_OUT.sub("", text) if ANY.search(text) else text


def hidden(text: str) -> str | None:
    """A line about characters that hide text, None where there are none. Tags that make up a flag hide nothing."""
    if not ANY.search(text):
        return None
    places = list(HIDING.finditer(FLAG.sub(lambda flag: " " * len(flag[0]), text)))
    if not places:
        return None
    count = sum(len(place[0]) for place in places)
    line = text.count("\n", 0, places[0].start()) + 1
    what = "1 invisible character that" if count == 1 else f"{count:,} invisible characters that"
    taken = "was taken out," if count == 1 else "were taken out, the first"
    return f"{what} can hide text or turn it around {taken} in line {line:,}"
