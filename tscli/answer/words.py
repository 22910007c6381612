"""A question's own words as votes on the context: where each of them stands, the rarer it is the more.

Heads find what is meant, words what is named: a number, a name or a code that no head attends to. The weights are BM25's
(Robertson and Zaragoza 2009, Eq. 3.3) over windows of cached tokens, each of which overlaps half of the one before, so that
words that stand together are counted together wherever they stand. Knows a context's tokens; runs no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tscli.selection.retrieval_heads import WINDOW
from tscli.tokens import Tokenizer


class QuestionWords:
    """Where the words of one question stand among cached tokens; words are tokens of letters and digits, in any case."""

    def __init__(self, token_ids: np.ndarray, question: Sequence[int], tokenizer: Tokenizer) -> None:
        """token_ids: int [n] of the cached tokens; question: of the question's own text."""
        forms = _forms(question, tokenizer)
        highest = max([0, int(token_ids.max(initial=0)), *(form for own in forms for form in own)])
        table = np.zeros(highest + 1, dtype=np.int32)
        for number, own in enumerate(forms, start=1):
            table[list(own)] = number
        self._word = table[token_ids]  # of each cached token: 1, 2, ..., or 0 where it is none of the question's
        self._at = np.flatnonzero(self._word)
        halves = max(2, -(-len(token_ids) // WINDOW))
        stands = np.zeros((len(forms) + 1, halves), dtype=bool)  # whether a word stands in these WINDOW tokens
        stands[self._word[self._at], self._at // WINDOW] = True
        self._holds = stands[:, :-1] | stands[:, 1:]  # [words + 1, windows]
        holding = self._holds.sum(axis=1)
        self._weight = np.log1p((halves - 1 - holding + 0.5) / (holding + 0.5)).astype(np.float32)
        self._weight[0] = 0.0

    def centres(self) -> Iterator[int]:
        """The middle of where the question's words stand in each window that has some, the weightiest window first."""
        weights = self._weight @ self._holds  # [windows]
        for window in np.argsort(-weights, kind="stable"):
            start, stop = np.searchsorted(self._at, (window * WINDOW, (window + 2) * WINDOW))
            if start == stop:
                return
            places = self._at[start:stop]
            yield round(float(np.average(places, weights=self._weight[self._word[places]])))

    def weights(self, start: int, end: int) -> np.ndarray:
        """The weight of the word at each of the cached tokens [start, end), 0 where it is none: [tokens] float32."""
        return self._weight[self._word[start:end]]

    def share(self, start: int, end: int) -> float:
        """How much of the weight of all the question's words stands in cached tokens [start, end): 0 to 1."""
        total = float(self._weight.sum())
        return float(self._weight[np.unique(self._word[start:end])].sum()) / total if total else 0.0


def _forms(question: Sequence[int], tokenizer: Tokenizer) -> list[set[int]]:
    """Each word's tokens: as it stands in the question, in other cases, with a space before it or without."""
    found: dict[str, set[int]] = {}
    for token in question:
        text = tokenizer.decode([token]).strip()
        if text.isalnum():
            found.setdefault(text.lower(), set()).add(token)
    for word, own in found.items():
        cases = dict.fromkeys((word, word.capitalize(), word.upper()))
        spelled = tokenizer.encode_text([space + case for case in cases for space in (" ", "")])
        own.update(int(one.ids[0]) for one in spelled if len(one.ids) == 1)
    return list(found.values())
