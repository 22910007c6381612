"""Words of a question that the documents do not have, which the reader of an answer should know.

A name that stands nowhere refuses a question; another word need not, since documents may say it otherwise. But where nothing
speaks of an airport, "the airport was built in 1919" deserves a second look. Knows a context and its tokenizer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from tscli.answer.names import ALIKE, names_of, places_of
from tscli.tokens import Context, Tokenizer

WORD = re.compile(r"[^\W\d_]+")
SHORTEST = 4  # letters
# Words that only ask.
ASKING = frozenset(
    {
        "compare", "define", "describe", "detail", "discuss", "does", "explain", "find", "give", "kindly", "list",
        "many", "mention", "much", "name", "often", "outline", "please", "quote", "show", "state", "summarise",
        "summarize", "tell", "what", "when", "where", "which", "whom", "whose",
    }
)  # fmt: skip


def missing_words(question: str, context: Context, tokenizer: Tokenizer, text: Callable[[], str]) -> tuple[str, ...]:
    """Words of at least SHORTEST letters that stand nowhere in the context, nor others that begin alike ("airports"); without
    names, and of scripts that have capitals. text: gives the context's whole text, case-folded; asked for seldom."""
    names = {name.casefold() for name in names_of(question)}
    asked = dict.fromkeys(word.casefold() for word in WORD.findall(question) if word.upper() != word.lower())
    words = [word for word in asked if len(word) >= SHORTEST and word not in names | ASKING]
    left = [word for word in words if not places_of(word, context, tokenizer).size]
    return tuple(word for word in left if not re.search(rf"(?<![^\W\d_]){re.escape(_beginning(word))}", text()))


def _beginning(word: str) -> str:
    """What inflected forms of a word share."""
    return word[: max(SHORTEST, math.ceil(ALIKE * len(word)))]
