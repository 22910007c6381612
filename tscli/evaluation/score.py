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
    ("", "i dont know", "i do not know", "na", "no answer", "none", "not given", "not in documents", "not stated", "unknown")
)
_SOURCES = r"(?:documents?|text|passages?|context|sources?|story|article|library|information)"
_SAYS = r"(?:say|state|mention|specify|tell|provide|contain|include|give|indicate|reveal|answer|name|describe|know)"
_NOT = r"(?:not|never|cannot|cant|dont|doesnt|didnt|isnt|arent|wasnt|werent|couldnt)"
REFUSAL = re.compile(
    rf"\b{_SOURCES} (?:\w+ ){{0,4}}{_NOT} (?:\w+ )?{_SAYS}\b"
    rf"|\b(?:it|they) (?:do |does )?(?:not|dont|doesnt) (?:say|state|mention|specify|tell)\b"
    rf"|\b{_NOT} (?:\w+ ){{0,2}}(?:in|by|from|within) (?:\w+ ){{0,2}}{_SOURCES}\b"
    rf"|\b{_NOT} (?:\w+ )?(?:mentioned|stated|specified|provided|given|known|available|told|disclosed)\b"
    rf"|\b(?:i|we) (?:\w+ )?{_NOT} (?:\w+ )?(?:find|know|answer|determine|see|tell|say|provide|sure)\b"
    rf"|\b(?:unable|impossible) to (?:find|answer|determine|tell|say|provide)\b"
    rf"|\b{_NOT} be (?:found|answered|determined|known)\b"
    rf"|\b(?:is|are|contains?|has|have|found|find) no (?:\w+ )?(?:information|mention|answer|details?|record|data)\b"
    rf"|^no (?:information|mention|answer|details?|record)\b"
)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n")
BUT = re.compile(r"\b(?:but|however)\b", re.IGNORECASE)
Z95 = 1.959964


def normalised(text: str) -> str:
    """SQuAD's normalisation (Rajpurkar et al. 2016): lower case, no punctuation, no articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, wanted: str) -> bool:
    """Whether both are the same once normalised."""
    return normalised(answer) == normalised(wanted)


def is_refusal(answer: str) -> bool:
    """Whether an answer says that the documents do not tell: in a word or two, or by its first sentence, without a "but"."""
    if normalised(answer) in REFUSALS:
        return True
    first = SENTENCE_END.split(answer.strip())[0].replace("’", "'")
    return REFUSAL.search(normalised(first)) is not None and not BUT.search(answer)


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
