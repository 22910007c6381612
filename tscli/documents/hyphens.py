"""Words that a line's end broke in two become one again, over all pages of a document. Knows nothing of files.

What is joined is what the model reads and what a search finds; what was taken out there is handed back beside it, so that a
citation quotes the word as the document has it. A break is a hyphen right behind a letter, the line's
end, and a letter. The first of these rules that says something decides:

1. What follows begins with a capital behind a small letter, a half is a single letter ("e-mail": nobody breaks a word there),
   or the token holds a digit, a dot, a slash, an @ or another hyphen (names, years, addresses, "state-of-the-art"): the hyphen
   stays.
2. The whole document writes the word elsewhere, within a line: as it does most often.
3. English (the lists of SCOWL in words.xz): the joined word is one: no hyphen. Both halves are common words: the hyphen stays.
4. No hyphen: a break in the middle of a word is far more frequent than one at a hyphen of its own.

The rest of the line that the second half stood on stays on a line of its own.
"""

from __future__ import annotations

import lzma
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

LETTER = r"[^\W\d_]"
# The token with its hyphen, the line's end, the token behind it, and one space at most.
BREAK = re.compile(rf"(?<!\S)(\S*{LETTER})[-\u2010]\n({LETTER}\S*)(\n|[ \t]+|\Z)")
WORD = re.compile(rf"{LETTER}+(?:[-\u2010]{LETTER}+)*")
ENDS = re.compile(rf"{LETTER}+\Z")
BEGINS = re.compile(rf"\A{LETTER}+")
# What is taken out at a join, and what marks its place until all are joined: characters that no text has.
TAKEN = {"\ufdd0": "-\n", "\ufdd1": "\u2010\n", "\ufdd2": "\n"}
MARKS = {taken: mark for mark, taken in TAKEN.items()}
MARK = re.compile(f"[{''.join(TAKEN)}]")
UNMARKED = dict.fromkeys(map(ord, TAKEN))


@dataclass(frozen=True)
class Joined:
    """Pages with their words in one. breaks: page (1-based), character of the joined page, and what stood there before."""

    pages: tuple[str, ...]
    breaks: tuple[tuple[int, int, str], ...] = ()


def join_broken_words(pages: Sequence[str]) -> Joined:
    """The pages, with the words that their lines break written as one, or with their hyphen; see the rules above."""
    wordy = [page for page in pages if _is_wordy(page)]
    asked = {form for page in wordy for found in BREAK.finditer(page) for form in _forms(found)}
    if not asked:
        return Joined(tuple(pages))
    words = (word.lower() for page in pages for word in WORD.findall(BREAK.sub(" ", page)))
    written = Counter(word for word in words if word in asked)
    joined, breaks = [], list[tuple[int, int, str]]()
    for number, page in enumerate(pages, start=1):
        marked = _joined(page.translate(UNMARKED), written) if _is_wordy(page) else page
        marks = list(MARK.finditer(marked)) if marked is not page else []
        breaks += [(number, mark.start() - before, TAKEN[mark[0]]) for before, mark in enumerate(marks)]
        joined.append(marked.translate(UNMARKED) if marks else marked)
    return Joined(tuple(joined), tuple(breaks))


def _is_wordy(page: str) -> bool:
    """Whether its breaks are few enough to be those of words."""
    num_breaks = page.count("-\n") + page.count("\u2010\n")
    return 0 < num_breaks < 100 or 0 < num_breaks * 20 < len(page)


def _joined(page: str, written: Counter[str]) -> str:
    """The page with its words in one, and a mark where each was broken."""

    def join(found: re.Match[str]) -> str:
        first, second, space = found.groups()
        kept = _keeps_hyphen(found, written)
        mark = MARKS["\n" if kept else f"{found.string[found.end(1)]}\n"]
        return f"{first}{'-' if kept else ''}{mark}{second}" + ("\n" if space else "")

    # A word's end may begin the next break: a second pass takes the breaks that overlap with the first.
    return BREAK.sub(join, BREAK.sub(join, page))


def _forms(found: re.Match[str]) -> tuple[str, str]:
    """The word without its hyphen, and with it; in lower case, without what stands around it."""
    first, second = ENDS.search(_plain(found[1])), BEGINS.search(_plain(found[2]))
    assert first is not None
    assert second is not None
    return f"{first[0]}{second[0]}".lower(), f"{first[0]}-{second[0]}".lower()


def _plain(word: str) -> str:
    """Without the marks of joins before."""
    return MARK.sub("", word)


def _keeps_hyphen(found: re.Match[str], written: Counter[str]) -> bool:
    first, second = _plain(found[1]), _plain(found[2])
    if (
        (second[0].isupper() and not first[-1].isupper())
        or re.search(r"[\d./@\-\u2010]", first)
        or re.search(r"[\d/@]|\.\w", second)
    ):
        return True
    joined, hyphenated = _forms(found)
    if 1 in map(len, hyphenated.split("-")):
        return True
    if written[joined] != written[hyphenated]:
        return written[hyphenated] > written[joined]
    common, others = _english()
    if joined in common or joined in others:
        return False
    return all(half in common for half in hyphenated.split("-"))


@lru_cache(maxsize=1)
def _english() -> tuple[frozenset[str], frozenset[str]]:
    """Common words, and others that are words as well."""
    text = lzma.decompress((Path(__file__).parent / "words.xz").read_bytes()).decode("ascii")
    common, _, others = text.partition("\n\n")
    return frozenset(common.split()), frozenset(others.split())
