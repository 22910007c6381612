"""Names in a question that occur nowhere in the documents, which then cannot hold the answer.

Pretrained models take a stranger's name for a slip and answer about somebody else. Knows a context and its tokenizer; runs no
model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from tscli.tokens import Context, Tokenizer, sentences
from tscli.tokens.sentences import sentence_end

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_OWN = re.compile(r"['’]s?$")  # of a genitive
_AHEAD = "x" * sentences.SHORTEST + " "  # what is shorter ends no sentence
SHORTEST = 3  # letters


def missing_names(question: str, context: Context, tokenizer: Tokenizer) -> list[str]:
    """Words of the question that are written as names and stand nowhere in the context, in whichever case."""
    missing = [name for name in names_of(question) if not places_of(name, context, tokenizer).size]
    if not missing:
        return []
    text = tokenizer.decode(context.token_ids.tolist()).casefold()  # seldom: tokens may part a word elsewhere than the question
    return [name for name in missing if name.casefold() not in text]


def names_of(question: str) -> list[str]:
    """Capitalised words after a sentence's first one, each once, without the genitive's ending; abbreviations are none."""
    words = [_OWN.sub("", word) for sentence in _sentences(question) for word in _WORD.findall(sentence)[1:]]
    return list(dict.fromkeys(word for word in words if len(word) >= SHORTEST and word[0].isupper() and not word.isupper()))


def phrases_of(sentence: str) -> list[str]:
    """Names in a sentence, of one word or several, such as "Wanda Crowgate", each once. Its first word is none by itself, and
    where it may be of a name, that is there without it, too."""
    found, end = list[list[str]](), -1
    words = list(_WORD.finditer(sentence))
    for match in words:
        if not match[0][0].isupper():
            continue
        if found and sentence[end : match.start()] != " ":
            found.append([])
        elif not found:
            found = [[]]
        found[-1].append(_OWN.sub("", match[0]))
        end = match.end()
    if found and words[0][0][0].isupper():
        found[:1] = [part for part in (found[0], found[0][1:]) if part and len(found[0]) > 1]
    names = (" ".join(part) for part in found)
    return list(dict.fromkeys(name for name in names if len(name) >= SHORTEST and not name.isupper()))


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
