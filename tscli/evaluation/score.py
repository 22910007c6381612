"""Scores of an answer against the wanted one, and the interval of a share. Strings and numbers only."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
NUMBER = re.compile(r"\d+")
SEPARATORS = re.compile(r"[\n:\"'.,?!{}]")
REFUSALS = frozenset(
    ("", "i dont know", "i do not know", "no answer", "none", "not given", "not in documents", "not stated", "unknown")
)
Z95 = 1.959964


def normalised(text: str) -> str:
    """SQuAD's normalisation (Rajpurkar et al. 2016): lower case, no punctuation, no articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, wanted: str) -> bool:
    """Whether both are the same once normalised."""
    return normalised(answer) == normalised(wanted)


def is_refusal(answer: str) -> bool:
    """Whether an answer says that the documents do not tell."""
    return normalised(answer) in REFUSALS


def token_f1(answer: str, wanted: str) -> float:
    """SQuAD's F1: harmonic mean of precision and recall of the normalised words; 1 if both are empty."""
    given, asked = normalised(answer).split(), normalised(wanted).split()
    if not given or not asked:
        return float(given == asked)
    shared = sum((Counter(given) & Counter(asked)).values())
    return 2 * shared / (len(given) + len(asked))


def contained(answer: str, wanted: Sequence[str]) -> float:
    """RULER's recall: the share of the wanted strings that the answer contains, in either case."""
    return sum(one.lower() in answer.lower() for one in wanted) / len(wanted)


def first_number(answer: str, wanted: Sequence[str]) -> float:
    """InfiniteBench's score for passkey and number string: whether the first number of the answer is the wanted one."""
    found = NUMBER.search(answer)
    return float(found is not None and found[0] == wanted[0])


def has_word(answer: str, wanted: Sequence[str]) -> float:
    """InfiniteBench's score for key-value retrieval: whether the wanted value is one of the answer's words."""
    return float(wanted[0] in SEPARATORS.sub(" ", answer).split())


def interval95(right: float, total: int) -> tuple[float, float]:
    """Wilson's 95% interval of the share right / total; (0, 1) of nothing."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, Z95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)
