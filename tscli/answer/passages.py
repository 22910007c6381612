"""Votes on tokens become passages: stretches of text around the peaks, widened to the ends of sentences, none across documents;
which sentence of each is repeated after it, and which of them fit a question best.

Knows a context and its tokenizer; runs no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise

import numpy as np
import torch
from torch import Tensor

from tscli.answer.names import places_of
from tscli.answer.words import QuestionWords
from tscli.selection.retrieval_heads import WINDOW, ranked, window_votes
from tscli.tokens import Context, Tokenizer, spell

PEAK_RADIUS_TOKENS = 48  # tokens on both sides of a peak
FREQUENT = 8192  # the first tokens of a vocabulary: trained byte pairs and pieces stand in it the most frequent first
LEAD = 48  # the first tokens of a document: they say what it is about, which its passages take for granted
EARLIER = 384  # tokens before a passage, in which what it speaks of may be named
SENTENCE_SEARCH_TOKENS = 24  # more of them, within which the end of a sentence is looked for
LONGEST_REPEATED = 72  # tokens of the sentences that are repeated after a passage
LONGEST = 2 * (PEAK_RADIUS_TOKENS + SENTENCE_SEARCH_TOKENS) + LONGEST_REPEATED  # tokens of a passage, with what is repeated
STANDS_OUT = 0.05  # of the weight of a question's words: what one sentence must have more than the others
ENDINGS = (".", "!", "?", '."', '!"', '?"', ".)", "\u3002")


@dataclass(frozen=True)
class Passage:
    """Tokens [start, end) of the context, and [lead, lead_end): the first ones of its document that stand before it.
    repeated: sentences [start, end) that are attended to once more, or from elsewhere, after it, in this order."""

    start: int
    end: int
    lead: int
    lead_end: int
    repeated: tuple[tuple[int, int], ...] = field(default=(), compare=False)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """All tokens of it, the first ones of its document and what is repeated included: [start, end) each."""
        return ((self.lead, self.lead_end), (self.start, self.end), *self.repeated)

    def __len__(self) -> int:
        return self.end - self.start

    def shared(self, other: Passage) -> int:
        """Tokens that stand in both."""
        return max(0, min(self.end, other.end) - max(self.start, other.start))


class PassageFinder:
    """Finds the passages of one context; first: of the tokens that may be selected, after the template's prefix."""

    def __init__(self, context: Context, tokenizer: Tokenizer) -> None:
        self._context = context
        self.tokenizer = tokenizer
        self._ends: dict[int, bool] = {}
        documents = context.documents
        self.first = documents[0].token_start if documents else int(context.token_ids.shape[0])

    def words(self, question: Sequence[int]) -> QuestionWords:
        """Where the words of a question's own tokens stand, counted from `first` on."""
        return QuestionWords(self._context.token_ids[self.first :], question, self.tokenizer)

    def shortlist(self, question: Sequence[int], passages: Iterable[Passage]) -> Tensor:
        """The tokens that a question's are told from where passages are compared: its own, those of the passages and the first
        FREQUENT of the vocabulary, int64, ascending."""
        token_ids, spans = self._context.token_ids, [span for one in passages for span in one.spans]
        frequent = np.arange(min(FREQUENT, self.tokenizer.vocab_size))
        own = [np.asarray(question), *(token_ids[start:end] for start, end in spans)]
        return torch.from_numpy(np.unique(np.concatenate([frequent, *own])).astype(np.int64))

    def text(self, start: int, end: int) -> str:
        """Of tokens [start, end) of the context."""
        return self.tokenizer.decode(self._context.token_ids[start:end].tolist())

    def spoken_of(self, passage: Passage) -> str:
        """Where it is said what a passage is about: the beginning of its document, EARLIER tokens before it, itself and the
        sentences that are repeated after it."""
        earlier = max(passage.lead_end, passage.start - EARLIER)
        spans = ((passage.lead, passage.lead_end), (earlier, passage.end), *passage.repeated)
        return "\n".join(self.text(*span) for span in spans)

    def places_of(self, name: str) -> np.ndarray:
        """Where a name stands among the tokens that may be selected."""
        found = places_of(name, self._context, self.tokenizer)
        return found[found >= self.first]

    def sentence_at(self, position: int) -> tuple[int, int]:
        """The sentence [start, end) of the context that a token stands in, as far as a passage around that goes."""
        around = self._around(position)
        bounds = self._sentence_bounds(around)
        number = int(np.searchsorted(bounds, position, side="right")) - 1
        return int(bounds[number]), int(bounds[number + 1])

    def best(self, votes: Tensor, count: int, excluded: Tensor | None = None) -> list[Passage]:
        """At most so many passages by heads' votes, best first, that do not overlap.

        votes: [heads, n] on the tokens from `first` on. excluded: positions, int64, in no passage.
        """
        barred = self._barred(excluded)
        votes = votes.float().cpu()
        if excluded is not None:
            votes = votes.masked_fill(torch.from_numpy(barred), 0.0)
        windows = window_votes(votes)
        totals = votes.sum(dim=1, keepdim=True).clamp_min(1e-30)
        starts = (window * WINDOW for window in ranked(windows) if windows[:, window].any())
        peaks = (start + int((votes[:, start : start + WINDOW] / totals).sum(dim=0).argmax()) for start in starts)
        return self._passages(islice(peaks, 4 * count + 8), count, barred)

    def by_words(self, words: QuestionWords, count: int, excluded: Tensor | None = None) -> list[Passage]:
        """As `best`, by where a question's words stand."""
        return self._passages(words.centres(), count, self._barred(excluded))

    def with_sentence(self, passage: Passage, words: QuestionWords) -> Passage:
        """The same with the sentence repeated that has most of a question's words, where one stands out.

        A small model reads what stands right before the question best, and mixes up sentences of one passage.
        """
        bounds = self._sentence_bounds(passage)
        if len(bounds) < 3:
            return passage
        shares = np.array([words.share(start - self.first, end - self.first) for start, end in pairwise(bounds.tolist())])
        best = int(shares.argmax())
        start, end = int(bounds[best]), int(bounds[best + 1])
        others = float(np.delete(shares, best).max(initial=0.0))
        if shares[best] - others < STANDS_OUT or end - start > LONGEST_REPEATED:
            return passage
        return replace(passage, repeated=((start, end),))

    def _sentence_bounds(self, passage: Passage) -> np.ndarray:
        """Where the sentences of a passage begin, and its end: int64 [sentences + 1]."""
        spans, owner = spell(np.arange(passage.start, passage.end), self._context, self.tokenizer).sentences()
        bounds: np.ndarray = passage.start + np.searchsorted(owner, np.arange(len(spans) + 1))
        return bounds

    def _barred(self, excluded: Tensor | None) -> np.ndarray:
        """Which of the tokens from `first` on are excluded: bool [n]. Positions elsewhere are in no passage anyway."""
        barred = np.zeros(self._context.token_ids.shape[0] - self.first, dtype=bool)
        if excluded is not None:
            places = excluded.cpu().numpy() - self.first
            barred[places[(places >= 0) & (places < barred.shape[0])]] = True
        return barred

    def _passages(self, peaks: Iterable[int], count: int, taken: np.ndarray) -> list[Passage]:
        """At most so many around these places, counted from `first` on, of what is not taken yet."""
        found: list[Passage] = []
        for peak in peaks:
            if len(found) == count:
                break
            if taken[peak]:
                continue
            passage = self._around(peak + self.first)
            free = ~taken[passage.start - self.first : passage.end - self.first]
            passage = _trimmed(passage, peak + self.first, free)
            taken[passage.start - self.first : passage.end - self.first] = True
            found.append(passage)
        return found

    def _around(self, peak: int) -> Passage:
        """A peak with PEAK_RADIUS_TOKENS on both sides, and up to SENTENCE_SEARCH_TOKENS more as far as the sentence goes on;
        within its document."""
        document = self._context.documents[int(self._context.document[peak])]
        start, end = max(document.token_start, peak - PEAK_RADIUS_TOKENS), min(document.token_end, peak + PEAK_RADIUS_TOKENS)
        earlier = range(start, max(document.token_start, start - SENTENCE_SEARCH_TOKENS) - 1, -1)
        later = range(end, min(document.token_end, end + SENTENCE_SEARCH_TOKENS) + 1)
        start = next((at for at in earlier if at == document.token_start or self._ends_sentence(at - 1)), start)
        end = next((at for at in later if at == document.token_end or self._ends_sentence(at - 1)), end)
        lead_end = min(start, document.token_start + LEAD)
        return Passage(start, end, document.token_start, lead_end)

    def _ends_sentence(self, position: int) -> bool:
        token = int(self._context.token_ids[position])
        if token not in self._ends:
            text = self.tokenizer.decode([token])
            self._ends[token] = "\n" in text or text.rstrip().endswith(ENDINGS)
        return self._ends[token]


def _trimmed(passage: Passage, peak: int, free: np.ndarray) -> Passage:
    """The part of a passage around its peak that is free."""
    at = peak - passage.start
    before, behind = np.flatnonzero(~free[:at]), np.flatnonzero(~free[at:])
    start = passage.start + (int(before[-1]) + 1 if before.size else 0)
    end = peak + int(behind[0]) if behind.size else passage.end
    return replace(passage, start=start, end=end)


@dataclass(frozen=True)
class Fit:
    """How well a passage fits a question. gain: nats per token that it makes the question likelier; share: of the weight of the
    question's words, what stands in it."""

    passage: Passage
    gain: float
    share: float


def ranked_fits(fits: Sequence[Fit]) -> list[Fit]:
    """Those that fit best first, by gain and share together, without those of which better ones hold more than half."""
    kept: list[Fit] = []
    for fit in sorted(fits, key=lambda one: -(one.gain + one.share)):
        if all(2 * fit.passage.shared(better.passage) <= len(fit.passage) for better in kept):
            kept.append(fit)
    return kept
