"""Names in a question that the documents, or a passage, do not have.

Pretrained models take a stranger's name for a slip and answer about somebody else. Knows a context and its tokenizer; runs no
model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile, takewhile

import numpy as np

from tscli.tokens import Context, Tokenizer, sentences
from tscli.tokens.sentences import sentence_end

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_OWN = re.compile(r"['’]s?$")  # of a genitive
_AHEAD = "x" * sentences.SHORTEST + " "  # what is shorter ends no sentence
SHORTEST = 3  # letters
ALIKE = 0.7  # of two words' letters: what inflected ones share from the start


def missing_names(question: str, context: Context, tokenizer: Tokenizer, text: Callable[[], str]) -> list[str]:
    """Words of the question that are written as names and stand nowhere in the context, in whichever case. text: gives the
    context's whole text, case-folded; asked for seldom, where tokens part a word elsewhere than the question does."""
    missing = [name for name in names_of(question) if not places_of(name, context, tokenizer).size]
    return [name for name in missing if name.casefold() not in text()]


def names_of(question: str) -> list[str]:
    """Capitalised words after a sentence's first one, each once, without the genitive's ending; abbreviations are none."""
    words = [_OWN.sub("", word) for sentence in _sentences(question) for word in _WORD.findall(sentence)[1:]]
    return list(dict.fromkeys(word for word in words if len(word) >= SHORTEST and word[0].isupper() and not word.isupper()))


def phrases_of(sentence: str) -> list[str]:
    """Names in a sentence, of one word or several, such as "Wanda Crowgate", each once. Its first word is none by itself, and
    where it may be of a name, that is there without it, too."""
    found = _runs(sentence)
    if found and _WORD.search(sentence)[0][0].isupper():  # type: ignore[index]
        found[:1] = [part for part in (found[0], found[0][1:]) if part and len(found[0]) > 1]
    names = (" ".join(part) for part in found)
    return list(dict.fromkeys(name for name in names if len(name) >= SHORTEST and not name.isupper()))


def another_named(asked: Sequence[str], text: str) -> str | None:
    """The first name in a text that shares a word with one of those asked for, but is another, such as "Tolstow Meadows" for
    "Tolcombe Meadows"; empty where there is none, None where the text speaks of one of those asked for.

    Part of a name stands for it ("Meadows"), and so does what is inflected. A word that the text also has in small letters
    begins no name ("The Meadows"), unless it is of one asked for.
    """
    if any(name.casefold() in text.casefold() for name in asked):
        return None
    plain = {word for word in _WORD.findall(text) if word.islower()}
    names, another = [name.casefold().split() for name in asked], ""
    for name in names:
        for run in _runs(text):
            marked = [(word, any(_alike(word.casefold(), one) for one in name)) for word in run]
            marked = list(dropwhile(lambda pair: pair[0].lower() in plain and not pair[1], marked))
            if marked and all(shared for _, shared in marked):
                return None
            if any(shared for _, shared in marked):
                another = another or " ".join(word for word, _ in marked)
    return another


def _alike(word: str, other: str) -> bool:
    """Whether two words are the same but for an ending."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
    return same >= ALIKE * max(len(word), len(other))


def _runs(text: str) -> list[list[str]]:
    """Capitalised words with nothing but a space between them, without genitives' endings."""
    found, end = list[list[str]](), -1
    for match in _WORD.finditer(text):
        if not match[0][0].isupper():
            continue
        if not found or text[end : match.start()] != " ":
            found.append([])
        found[-1].append(_OWN.sub("", match[0]))
        end = match.end()
    return found


def _sentences(text: str) -> Iterator[str]:
    """The sentences of a text, short ones, too."""
    while (end := sentence_end(_AHEAD + text) - len(_AHEAD)) > 0:
        yield text[:end]
        text = text[end:]
    yield text


def places_of(name: str, context: Context, tokenizer: Tokenizer) -> np.ndarray:
    """Where the tokens of a name begin, with a space before it or without: int64, ascending."""
    ids, found = np.asarray(context.token_ids), list[np.ndarray]()
    for encoded in tokenizer.encode_text([f" {name}", name]):
        wanted = np.asarray(encoded.ids)
        places = np.flatnonzero(ids[: len(ids) - len(wanted) + 1] == wanted[0]) if len(wanted) else np.flatnonzero(ids[:0])
        for offset, token in enumerate(wanted[1:], start=1):
            places = places[ids[places + offset] == token]
        found.append(places)
    return np.unique(np.concatenate(found))
