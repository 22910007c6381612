"""Questions answered from passages that calibrated heads found: the way from a question to its answer.

    vote     the question, read alone, votes on all cached tokens by a few heads          question_votes
             so do its words, by where they stand                                          QuestionWords
    rank     the question after each candidate passage: which of them makes it likely?    read_after_passages
    answer   token by token, dense over these few rows: for each passage by itself (mixed), going on from where the ranking read
             the question, or, as the model was calibrated, all of them together, the best last, in a pass of their own;
             along with the same without passages, so that what they change may count for more              contrasted
    check    an answer that says nothing which the passages make likelier is none, nor are its sentences   AnswerJudge
    move     every so many answer tokens, the heads' votes may bring another passage in; question and answer so far are then
             run anew, since all that was computed after the earlier passages depends on what they said

Knows the model, its state and passages of a context; knows no libraries and no text.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tscli.answer.answer_judge import AnswerJudge
from tscli.answer.attribution import Attribution
from tscli.answer.contrast import contrasted
from tscli.answer.engine import Request
from tscli.answer.mixture import influential, mixed, said_by, weights_of
from tscli.answer.passages import LONGEST, Fit, Passage, PassageFinder, ranked_fits
from tscli.answer.question_reading import (
    HeadQueries,
    PassageReading,
    count_votes,
    question_votes,
    read_after_passages,
    with_passages,
)
from tscli.answer.session_strategy import Verdict
from tscli.answer.statistics import QuestionReading
from tscli.model.decoder import Decoder
from tscli.model.gathered import GatheredRun, Rows, Seen
from tscli.model.kv import KVState
from tscli.model.step import Pass
from tscli.selection.guard import Guard
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import Prompt

BY_HEADS = 8  # passages that a question is read after, by the retrieval heads' votes
BY_WORDS = 4  # and by the question's own words
MOVE_EVERY = 32  # answer tokens whose votes are counted together


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


class RetrievalStrategy:
    """Runs questions over one state, which holds the documents' keys and values.

    conversation: questions and answers stay in the state's tail, and all of it is attended along with the passages.
    """

    is_dense = False
    attends_all_said = True
    question_mode = "voters"
    scan = "voters"

    def __init__(
        self,
        decoder: Decoder,
        state: KVState,
        retrieval_heads: RetrievalHeads,
        finder: PassageFinder,
        end_ids: frozenset[int],
        *,
        refuses: bool = True,
        conversation: bool = False,
    ) -> None:
        self.decoder = decoder
        self.state = state
        self.retrieval_heads = retrieval_heads
        self.finder = finder
        self.end_ids = end_ids
        self.guard = Guard()  # nothing is approximate here, so it compares nothing
        self.question_read = 0.0  # by time.perf_counter: when the pass began that makes the answer's first token
        self.reading: Reading | None = None  # of the last question
        self.verdict: Verdict = "answers"  # on the last answer
        self.refuses = refuses
        self.conversation = conversation
        self.is_busy = self.is_closed = False
        self._passed = 0  # tokens of questions and answers that were run

    @property
    def first(self) -> int:
        """How many of the context's first tokens are always attended."""
        return self.finder.first

    @property
    def question_reading(self) -> QuestionReading | None:
        """What there is to say of how the last question was read."""
        if self.reading is None:
            return None
        reading, heads, decoder = self.reading, self.retrieval_heads.heads, self.decoder
        group = decoder.q_heads // decoder.kv_heads
        scanned = len({(layer, head // group) for layer, head in heads}) / (decoder.layers * decoder.kv_heads)
        passages = [(passage.start, passage.end) for passage in reading.passages]
        answered = reading.answered and self.verdict != "ungrounded"
        return QuestionReading([list(head) for head in heads], scanned, passages, list(reading.gains), answered)

    def most_attended(self, total: int) -> int:
        """How many tokens of the documents, which have so many, an answer attends to at most in one sequence."""
        together = 1 if self.retrieval_heads.apart else self._passages
        return min(total, self.finder.first + together * LONGEST)

    @property
    def _passages(self) -> int:
        """How many passages an answer gets: as calibrated, but half of the model's window is the conversation's."""
        return max(1, min(self.retrieval_heads.passages, self.decoder.window // 2 // LONGEST))

    def own_tokens(self, prompt: int, generated: int) -> int:
        """How many tokens of the last question and answer have passed through the model, counted where they were run."""
        return self._passed

    def another(self, state: KVState, conversation: bool) -> RetrievalStrategy:
        """One with a state of its own over the same pages."""
        how = {"refuses": self.refuses, "conversation": conversation}
        return RetrievalStrategy(self.decoder, state, self.retrieval_heads, self.finder, self.end_ids, **how)

    def begin(self, request: Request) -> _Answer:
        """See `Strategy`; `reading` then says how the question was read, and whether anything answers it."""
        self._passed, self.verdict = 0, "answers"
        return _Answer(self, request)

    def rewind(self, length: int | None = None) -> None:
        """See `Strategy`."""
        self.state.rewind(self.state.committed if length is None else length)

    def close(self) -> None:
        """Hold no pages any more."""
        self.is_closed = True
        self.state = self.decoder.new_state()

    def _read(
        self, prompt: Prompt, before: Tensor, excluded: Tensor | None, answers: bool
    ) -> tuple[Reading, PassageReading | None]:
        """Vote for candidates, then keep those that make the question likely, as many as the calibration says."""
        decoder, state = self.decoder, self.state
        started = state.tokens_run
        if self.finder.first >= state.committed:
            return Reading((), (), not self.refuses), None
        first = self.finder.first
        votes = question_votes(decoder, state, self.retrieval_heads, prompt, before, first, state.committed)
        words = self.finder.words(prompt.ids[prompt.start : prompt.stop])
        by_heads, by_words = self.finder.best(votes, BY_HEADS, excluded), self.finder.by_words(words, BY_WORDS, excluded)
        candidates = list(dict.fromkeys([*by_heads, *by_words]))
        read = read_after_passages(decoder, state, prompt, before, candidates, excluded)
        self._passed += state.tokens_run - started
        shares = [words.share(one.start - first, one.end - first) for one in candidates]
        ranked = ranked_fits([Fit(*one) for one in zip(candidates, read.gains, shares, strict=True)])[: self._passages]
        ranked = influential(ranked) if self.retrieval_heads.apart else ranked
        kept, best = tuple(fit.passage for fit in ranked), tuple(fit.gain for fit in ranked)
        enough = answers and bool(best) and max(best) >= self.retrieval_heads.absent_below
        return Reading(kept, best, enough or not self.refuses), read

    def _arange(self, start: int, stop: int) -> Tensor:
        return torch.arange(start, stop, device=self.decoder.device)


class _Answer:
    """One request: its question is read, then its answer made over the rows of the passages that were found."""

    def __init__(self, strategy: RetrievalStrategy, request: Request) -> None:
        self._strategy = strategy
        self._request = request
        self._length = strategy.state.length  # before the question
        spoken = strategy._arange(strategy.state.committed, self._length)
        self._before = torch.cat([strategy._arange(0, strategy.finder.first), spoken])
        self._made = 0  # tokens of the answer that were run
        self._passages: list[Passage] = []
        self._gains: list[float] = []
        self._run: GatheredRun
        self._watch: _Watch
        self._behind: Tensor  # logits [sequences with passages, vocab] of the latest pass
        self._mixed: Tensor  # log-probabilities [vocab] of its next token by all of these
        self._without: Tensor  # logits [vocab] without any passage
        # Of the retrieval heads, for each token since the passages were last asked for.
        self._queries: list[dict[int, Tensor]] = []
        alone = not spoken.shape[0] and not request.prompt.spoken  # else what was said before may be what an answer says
        judged = strategy.refuses and request.grounded and alone
        self._judge = AnswerJudge(strategy.finder, request.splitter) if judged else None

    def next_pass(self, token: int | None) -> Pass | None:
        """See `Progress`."""
        if token is None:
            return self._read_question()
        if self._judge is not None and self._judge.is_over:
            return None
        self._made += 1
        if self._made % MOVE_EVERY == 0 and self._move():
            return self._pass([*self._request.prompt.ids, *self._request.token_ids])
        return self._pass([token])

    def _read_question(self) -> Pass | None:
        strategy, request = self._strategy, self._request
        reading, read = strategy._read(request.prompt, self._before, request.excluded, request.answerable)
        strategy.reading = reading
        strategy.question_read = time.perf_counter()
        if not reading.answered:
            return None
        self._passages, self._gains = list(reading.passages), list(reading.gains)
        done = self._begin(read)
        if not self._passages:
            self._judge = None
        elif self._judge is not None:
            strategy.verdict = self._judge.verdict
        return self._pass(list(request.prompt.ids[done:]))

    @torch.inference_mode()
    def take(self, logits: Tensor) -> Tensor:
        """See `Progress`."""
        self._queries.append(self._watch.head_queries.queries)
        self._behind = logits[: self._weights.shape[0]]
        self._mixed, self._without = mixed(self._behind, self._weights), logits[-1]
        contrast = self._strategy.retrieval_heads.contrast if self._passages else 0.0
        return contrasted(self._mixed, self._without, contrast)

    def chosen(self, token: int) -> None:
        """Say where the token that the latest pass made comes from, and whether what it belongs to is grounded so far."""
        if self._judge is not None:
            if token in self._strategy.end_ids and not self._request.ignore_eos:
                self._judge.end()
            else:
                without = self._without.log_softmax(dim=-1)
                self._judge.take(token, float(self._mixed[token]), float(without[token]))
            self._strategy.verdict = self._judge.verdict
        if self._watch.attribution is not None:
            self._watch.attribution.report(said_by(self._behind, self._weights, token))

    def _pass(self, token_ids: list[int]) -> Pass:
        """These tokens after what there is, in each sequence."""
        strategy, sequences = self._strategy, len(self._run.rows)
        self._watch.head_queries = HeadQueries(strategy.decoder, strategy.retrieval_heads, 1)
        ends = [(number + 1) * len(token_ids) - 1 for number in range(sequences)]
        ids = torch.tensor(token_ids * sequences, device=strategy.decoder.device)
        strategy._passed += ids.shape[0]
        return Pass(ids, self._run, ends)

    @torch.inference_mode()
    def _move(self) -> bool:
        """Take in the passage that the latest tokens vote for, where it is new, if need be for the least likely one.

        Whether it was: question and answer are then to be run anew, since each sequence's keys hold what its own rows said.
        """
        strategy, queries = self._strategy, self._queries
        self._queries = []
        if not self._passages:
            return False
        stacked = {place: torch.cat([one[place] for one in queries]) for place in queries[0]}
        votes = count_votes(
            strategy.decoder, strategy.state, strategy.retrieval_heads, stacked, strategy.finder.first, strategy.state.committed
        )
        found = strategy.finder.best(votes, 1, self._request.excluded)
        if not found or any(found[0].shared(passage) for passage in self._passages):
            return False
        self._passages = [found[0], *self._passages][: strategy._passages]
        self._gains = [self._gains[0], *self._gains][: strategy._passages]  # as much as the best one has
        assert strategy.reading is not None
        strategy.reading = strategy.reading.with_later(found[0])
        strategy.state.rewind(self._length)
        self._begin()
        return True

    def _begin(self, read: PassageReading | None = None) -> int:
        """Runs over the rows as they are now, and over the same without passages; how many of the question's tokens they hold
        already, as it was read after each of these passages."""
        strategy, observe = self._strategy, self._request.observe
        rows, weights = self._rows()
        self._weights = weights.to(strategy.decoder.device)
        spans = [strategy._arange(passage.start, passage.end) for passage in self._passages]
        chosen = torch.cat(spans).unique() if spans else strategy._arange(0, 0)
        attribution = Attribution(strategy.retrieval_heads, rows, chosen, observe) if observe else None
        self._watch = _Watch(HeadQueries(strategy.decoder, strategy.retrieval_heads, 1), attribution, len(rows))
        sequences = [*rows, with_passages(self._before, [], strategy.state)] if self._passages else rows
        if read is not None and len(sequences) == len(self._passages) + 1:
            done = min(self._request.prompt.stop, len(self._request.prompt.ids) - 1)
            run = read.resumed(list(zip([*self._passages, None], sequences, strict=True)), done, self._watch)
            if run is not None:
                self._run = run
                return done
        self._run = GatheredRun(strategy.state, strategy.decoder.rotator, sequences, keeps=True, watch=self._watch)
        return 0

    def _rows(self) -> tuple[list[Rows], Tensor]:
        """Of each sequence with passages, and their log-weights: the best passage is the last of one, or in the first."""
        before, state = self._before, self._strategy.state
        if self._strategy.retrieval_heads.apart and self._passages:
            return [with_passages(before, [passage], state) for passage in self._passages], weights_of(self._gains)
        return [with_passages(before, self._passages[::-1], state)], torch.zeros(1)


class _Watch:
    """What is seen of an answer's passes. Knows no answer, so that its buffers go with its end: nothing refers to itself.

    head_queries: of the latest pass, those of the first sequence; attribution: of the sequences with passages, so many.
    """

    def __init__(self, head_queries: HeadQueries, attribution: Attribution | None, sequences: int) -> None:
        self.head_queries, self.attribution, self._sequences = head_queries, attribution, sequences

    def __call__(self, seen: Seen) -> None:
        if seen.sequence == 0:
            self.head_queries(seen)
        if self.attribution is not None and seen.sequence < self._sequences:
            self.attribution(seen)
