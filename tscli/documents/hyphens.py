"""Words that a line's end broke in two become one again, over all pages of a document. Knows nothing of files.

What is joined is what the model reads, and so what a citation quotes. A break is a hyphen right behind a letter, the line's
end, and a letter. The first of these rules that says something decides:

1. What follows begins with a capital behind a small letter, or the token holds a digit, a dot, a slash, an @ or another
   hyphen (names, years, addresses, "state-of-the-art"): the hyphen stays.
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
from functools import lru_cache
from pathlib import Path

LETTER = r"[^\W\d_]"
# The token with its hyphen, the line's end, the token behind it, and one space at most.
BREAK = re.compile(rf"(?<!\S)(\S*{LETTER})[-\u2010]\n({LETTER}\S*)(\n|[ \t]+|\Z)")
WORD = re.compile(rf"{LETTER}+(?:[-\u2010]{LETTER}+)*")
ENDS = re.compile(rf"{LETTER}+\Z")
BEGINS = re.compile(rf"\A{LETTER}+")


def join_broken_words(pages: Sequence[str]) -> tuple[str, ...]:
    """The pages, with the words that their lines break written as one, or with their hyphen; see the rules above."""
    wordy = [page for page in pages if _is_wordy(page)]
    asked = {form for page in wordy for found in BREAK.finditer(page) for form in _forms(found)}
    if not asked:
        return tuple(pages)
    words = (word.lower() for page in pages for word in WORD.findall(BREAK.sub(" ", page)))
    written = Counter(word for word in words if word in asked)
    return tuple(_joined(page, written) if _is_wordy(page) else page for page in pages)


def _is_wordy(page: str) -> bool:
    """Whether its breaks are few enough to be those of words."""
    num_breaks = page.count("-\n") + page.count("\u2010\n")
    return 0 < num_breaks < 100 or 0 < num_breaks * 20 < len(page)


def _joined(page: str, written: Counter[str]) -> str:
    def join(found: re.Match[str]) -> str:
        first, second, space = found.groups()
        return f"{first}{'-' if _keeps_hyphen(found, written) else ''}{second}" + ("\n" if space else "")

    # A word's end may begin the next break: a second pass takes the breaks that overlap with the first.
    return BREAK.sub(join, BREAK.sub(join, page))


def _forms(found: re.Match[str]) -> tuple[str, str]:
    """The word without its hyphen, and with it; in lower case, without what stands around it."""
    first, second = ENDS.search(found[1]), BEGINS.search(found[2])
    assert first is not None
    assert second is not None
    return f"{first[0]}{second[0]}".lower(), f"{first[0]}-{second[0]}".lower()


def _keeps_hyphen(found: re.Match[str], written: Counter[str]) -> bool:
    first, second = found[1], found[2]
    if (
        (second[0].isupper() and not first[-1].isupper())
        or re.search(r"[\d./@\-\u2010]", first)
        or re.search(r"[\d/@]|\.\w", second)
    ):
        return True
    joined, hyphenated = _forms(found)
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
