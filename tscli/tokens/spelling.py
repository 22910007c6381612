"""The text of cached tokens, and which sentence of it each of them belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tscli.tokens.provenance import Context
from tscli.tokens.sentences import sentence_spans
from tscli.tokens.tokenizer import StreamDecoder, Tokenizer


@dataclass(frozen=True)
class Spelled:
    """Tokens [start, start + len(bounds) - 1) as text; token i is text[bounds[i] : bounds[i + 1]]."""

    start: int
    text: str
    bounds: np.ndarray

    def sentences(self) -> tuple[list[tuple[int, int]], np.ndarray]:
        """The sentences' ranges of characters, and the number of the one that each token belongs to: int [tokens].

        A token belongs to the sentence that its first visible character stands in: a space is often part of the next word.
        """
        spans = sentence_spans(self.text)
        visible = [_visible(self.text, int(place)) for place in self.bounds[:-1]]
        return spans, np.searchsorted(np.array([start for start, _ in spans]), visible, side="right") - 1


def spell(tokens: np.ndarray, context: Context, tokenizer: Tokenizer) -> Spelled:
    """The text of adjacent tokens, int [n], and where in it each token stands."""
    ids, first = context.token_ids[tokens].tolist(), int(tokens[0])
    text = tokenizer.decode(ids)
    starts, end = context.char_start[tokens], int(context.char_end[tokens[-1]])
    one_page = context.page[first] == context.page[tokens[-1]]
    if one_page and len(text) == end - int(starts[0]) and "\ufffd" not in text:
        return Spelled(first, text, np.append(starts - starts[0], len(text)))
    # Tokenizers that normalise have other characters than the page: let the tokens say what they are.
    decoder, text, bounds = StreamDecoder(tokenizer), "", [0]
    for token in ids:
        text += decoder.push(token)
        bounds.append(len(text))
    text += decoder.flush()
    bounds[-1] = len(text)
    return Spelled(first, text, np.array(bounds))


def _visible(text: str, place: int) -> int:
    while place + 1 < len(text) and text[place].isspace():
        place += 1
    return place
