"""Which passages answer a question: candidates by votes and by words, ranked by how likely each of them makes the question.

Knows the model, its state and passages of a context; knows no answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from tscli.answer.bridge import bridged
from tscli.answer.mixture import influential
from tscli.answer.namesakes import told_apart
from tscli.answer.passages import Fit, Passage, PassageFinder, ranked_fits
from tscli.answer.question_reading import PassageReading, question_votes, read_after_passages
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import Prompt

BY_HEADS = 3  # passages that a question is read after, by the retrieval heads' votes
BY_WORDS = 3  # and by the question's own words
LEAST_SHARE = 0.4  # of the best candidate's share of the words: with less it is the heads' first, or no candidate


@dataclass(frozen=True)
class Reading:
    """How a question was read. passages: best first, those that the answer attended to; gains: of each, in nats per token.

    answered: whether any of them makes the question likely enough to answer it. Passages that came in later, while the answer
    was made, follow those that it began with, with the gain by which they are weighted: the best one's.
    """

    passages: tuple[Passage, ...]
    gains: tuple[float, ...]
    answered: bool

    def with_later(self, passage: Passage) -> Reading:
        """The same with one that came in later; not again one that had been there."""
        if passage in self.passages:
            return self
        return replace(self, passages=(*self.passages, passage), gains=(*self.gains, self.gains[0]))


def search(
    decoder: Decoder,
    state: KVState,
    retrieval_heads: RetrievalHeads,
    finder: PassageFinder,
    prompt: Prompt,
    before: Tensor,
    excluded: Tensor | None,
    most: int,
) -> tuple[Reading, PassageReading]:
    """At most so many passages that make the question likeliest, and the question as it was read after each candidate.

    before: see `question_votes`; excluded: positions, int64, that no passage begins with and no question is read after.
    """
    first = finder.first
    votes = question_votes(decoder, state, retrieval_heads, prompt, before, first, state.committed)
    words = finder.words(prompt.ids[prompt.start : prompt.stop])
    by_heads, by_words = finder.best(votes, BY_HEADS, excluded), finder.by_words(words, BY_WORDS, excluded)
    shares = {one: words.share(one.start - first, one.end - first) for one in (*by_heads, *by_words)}
    least = LEAST_SHARE * max(shares.values(), default=0.0)
    found = [finder.with_sentence(one, words) for one, share in shares.items() if share >= least or one in by_heads[:1]]
    candidates = bridged(finder, prompt, words, votes, told_apart(finder, prompt, found), excluded)
    read = read_after_passages(decoder, state, prompt, before, candidates, finder.shortlist(prompt.ids, candidates), excluded)
    ranked = ranked_fits([Fit(one, gain, shares[one]) for one, gain in zip(candidates, read.gains, strict=True)])[:most]
    ranked = influential(ranked) if retrieval_heads.apart else ranked
    gains = tuple(fit.gain for fit in ranked)
    answered = bool(gains) and max(gains) >= retrieval_heads.absent_below
    return Reading(tuple(fit.passage for fit in ranked), gains, answered), read
