"""One question's answer, token by token, over the rows of the passages that were found for it.

Knows the model, its state and passages of a context; the strategy learns from an `Outcome` how it went.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tscli.answer.answer_judge import AnswerJudge
from tscli.answer.attribution import Attribution
from tscli.answer.contrast import contrasted, restates
from tscli.answer.engine import Request
from tscli.answer.mixture import mixed, said_by, weights_of
from tscli.answer.namesakes import namesakes
from tscli.answer.passage_search import Reading, search
from tscli.answer.passages import Passage, PassageFinder
from tscli.answer.question_reading import HeadQueries, PassageReading, count_votes, with_passages
from tscli.model.decoder import Decoder
from tscli.model.gathered import GatheredRun, Rows, Seen
from tscli.model.kv import KVState
from tscli.model.step import Pass
from tscli.selection.retrieval_heads import RetrievalHeads

MOVE_EVERY = 32  # answer tokens whose votes are counted together


@dataclass
class Outcome:
    """What is known of an answer so far, and stays known after its end.

    question_read: by time.perf_counter, when the pass began that makes the answer's first token. tokens_run: of the question,
    in each of its sequences, and the answer. grounded, is_none, namesake, log_probs: see `SessionStrategy`.
    """

    reading: Reading | None = None
    grounded: int | None = None
    is_none: bool = False
    namesake: str = ""
    question_read: float = 0.0
    tokens_run: int = 0
    log_probs: list[float] = field(default_factory=list)


class RetrievalAnswer:
    """One request: its question is read, then its answer made.

    most: passages that it is made from at a time. refuses: whether it may be none.
    """

    def __init__(
        self,
        decoder: Decoder,
        state: KVState,
        retrieval_heads: RetrievalHeads,
        finder: PassageFinder,
        request: Request,
        outcome: Outcome,
        *,
        most: int,
        refuses: bool,
    ) -> None:
        self._decoder = decoder
        self._state = state
        self._retrieval_heads = retrieval_heads
        self._finder = finder
        self._request = request
        self._outcome = outcome
        self._most = most
        self._refuses = refuses
        self._end_ids = request.strategy.end_ids
        self._length = state.length  # before the question
        spoken = self._arange(state.committed, self._length)
        self._before = torch.cat([self._arange(0, finder.first), spoken])
        self._made = 0  # tokens of the answer that were run
        self._passages: list[Passage] = []
        self._gains: list[float] = []
        self._run: GatheredRun
        self._fitting: Tensor  # of each sequence with passages, 0 where they are about another one of a like name, else 1
        self._watch: _Watch
        self._read: Tensor  # log-probabilities [sequences with passages, vocab] of the latest pass's next token
        self._mixed: Tensor  # the same by all of these, [vocab]
        self._without: Tensor  # and without any passage, [vocab]
        # Of the retrieval heads, for each token since the passages were last asked for.
        self._queries: list[dict[int, Tensor]] = []
        alone = not spoken.shape[0] and not request.prompt.spoken  # else what was said before may be what an answer says
        judged, asked = refuses and request.grounded and alone, request.prompt.ids[request.prompt.start : request.prompt.stop]
        self._judge = AnswerJudge(finder.tokenizer, request.splitter, asked) if judged else None

    def next_pass(self, token: int | None) -> Pass | None:
        """See `Progress`."""
        if token is None:
            return self._read_question()
        if self._judge is not None and self._judge.is_over:
            return None
        self._made += 1
        if self._made % MOVE_EVERY == 0:
            self._move()
        return self._pass([token])

    def _read_question(self) -> Pass | None:
        reading, read = self._search()
        self._outcome.reading = reading
        self._outcome.question_read = time.perf_counter()
        if not reading.answered:
            return None
        self._passages, self._gains = list(reading.passages), list(reading.gains)
        done = self._begin(read)
        if not self._passages:
            self._judge = None
        elif self._judge is not None:
            self._outcome.grounded = 0
        return self._pass(list(self._request.prompt.ids[done:]))

    def _search(self) -> tuple[Reading, PassageReading | None]:
        """The passages that answer the question, as many as there are, and the question as it was read after each candidate."""
        state, finder, request = self._state, self._finder, self._request
        if finder.first >= state.committed:
            return Reading((), (), not self._refuses), None
        how = (self._decoder, state, self._retrieval_heads, finder, request.prompt, self._before)
        started = state.tokens_run
        reading, read = search(*how, most=self._most, excluded=request.excluded)
        self._outcome.tokens_run += state.tokens_run - started
        return replace(reading, answered=(reading.answered and request.answerable) or not self._refuses), read

    @torch.inference_mode()
    def take(self, logits: Tensor) -> Tensor:
        """See `Progress`."""
        self._queries.append(self._watch.head_queries.queries)
        likely, sequences = logits.log_softmax(dim=-1), self._weights.shape[0]
        self._read, self._without = likely[:sequences], likely[-1]
        self._mixed = mixed(self._read, self._weights)
        contrast = self._contrast()
        return contrasted(self._mixed, self._without, contrast) if contrast else self._mixed

    def _contrast(self) -> float:
        """How much the next token's probability without passages counts against it."""
        prompt, contrast = self._request.prompt, self._retrieval_heads.contrast
        if not self._passages or not contrast:
            return 0.0
        likeliest = int(self._mixed.argmax())
        if likeliest != int(self._without.argmax()):
            return contrast
        return 0.0 if restates(prompt.ids[prompt.start : prompt.stop], self._request.token_ids, likeliest) else contrast

    def chosen(self, token: int) -> None:
        """Say where the token that the latest pass made comes from, and whether what it belongs to is grounded so far."""
        said = said_by(self._read, self._weights, token)
        self._outcome.log_probs.append(float(self._mixed[token]))
        if self._judge is not None:
            if token in self._end_ids and not self._request.ignore_eos:
                self._judge.end()
            else:
                without = float(self._without[token])
                gain = float(self._mixed[token]) - without
                self._judge.take(token, without + gain * float(said @ self._fitting), without)
                if len(self._request.token_ids) + 1 == self._request.max_new_tokens:
                    self._judge.end(cut=True)
            self._outcome.grounded, self._outcome.is_none = self._judge.grounded, self._judge.is_none
        if self._watch.attribution is not None:
            self._watch.attribution.report(said)

    def _pass(self, token_ids: list[int]) -> Pass:
        """These tokens after what there is, in each sequence."""
        sequences = len(self._run.rows)
        self._watch.head_queries = HeadQueries(self._decoder, self._retrieval_heads, 1)
        ends = [(number + 1) * len(token_ids) - 1 for number in range(sequences)]
        ids = torch.tensor(token_ids * sequences, device=self._decoder.device)
        self._outcome.tokens_run += ids.shape[0]
        return Pass(ids, self._run, ends)

    @torch.inference_mode()
    def _move(self) -> None:
        """Take in the passage that the latest tokens vote for, where it is new, if need be for the least likely one: question
        and answer are read after it, all but the latest token, while sequences that it does not change go on."""
        queries, self._queries = self._queries, []
        if not self._passages:
            return
        stacked = {place: torch.cat([one[place] for one in queries]) for place in queries[0]}
        state, finder, request = self._state, self._finder, self._request
        votes = count_votes(self._decoder, state, self._retrieval_heads, stacked, finder.first, state.committed)
        found = finder.best(votes, 1, request.excluded)
        if not found or any(found[0].shared(passage) for passage in self._passages):
            return
        self._passages = [found[0], *self._passages][: self._most]
        self._gains = [self._gains[0], *self._gains][: self._most]  # as much as the best one has
        assert self._outcome.reading is not None
        self._outcome.reading = self._outcome.reading.with_later(found[0])
        state.rewind(self._length)
        earlier, sequences = self._run, self._sequences()
        changed = GatheredRun(state, self._decoder.rotator, sequences[:1], keeps=True)
        ids = [*request.prompt.ids, *request.token_ids[:-1]]
        self._decoder.forward(torch.tensor(ids, device=self._decoder.device), changed, logits=False)
        self._outcome.tokens_run += len(ids)
        going_on = [*range(len(sequences) - 2), len(earlier.rows) - 1]
        self._run = changed.joined(earlier, going_on, self._watch)

    def _begin(self, read: PassageReading | None) -> int:
        """Runs over the rows of the passages, and over the same without any; how many of the question's tokens they hold
        already, as it was read after each of these passages."""
        sequences = self._sequences()
        if read is not None and len(sequences) == len(self._passages) + 1:
            done = min(self._request.prompt.stop, len(self._request.prompt.ids) - 1)
            run = read.resumed(list(zip([*self._passages, None], sequences, strict=True)), done, self._watch)
            if run is not None:
                self._run = run
                return done
        self._run = GatheredRun(self._state, self._decoder.rotator, sequences, keeps=True, watch=self._watch)
        return 0

    def _sequences(self) -> list[Rows]:
        """Of each sequence, as the passages are now: with passages and without. Weighs them, and sees what they say."""
        heads, observe = self._retrieval_heads, self._request.observe
        rows, weights = self._rows()
        self._weights = weights.to(self._decoder.device)
        others = namesakes(self._finder, self._request.prompt, self._passages)
        self._outcome.namesake = next(filter(None, others), "")
        others = others if len(rows) > 1 else ["" if not all(others) else self._outcome.namesake]
        self._fitting = torch.tensor([not other for other in others], dtype=torch.float32).to(self._weights)
        spans = [self._arange(*span) for one in self._passages for span in ((one.start, one.end), *one.repeated)]
        chosen = torch.cat(spans).unique() if spans else self._arange(0, 0)
        attribution = Attribution(heads, rows, chosen, observe) if observe else None
        self._watch = _Watch(HeadQueries(self._decoder, heads, 1), attribution, len(rows))
        return [*rows, with_passages(self._before, [], self._state)] if self._passages else rows

    def _rows(self) -> tuple[list[Rows], Tensor]:
        """Of each sequence with passages, and their log-weights: the best passage is the last of one, or in the first."""
        before, state = self._before, self._state
        if self._retrieval_heads.apart and self._passages:
            return [with_passages(before, [passage], state) for passage in self._passages], weights_of(self._gains)
        return [with_passages(before, self._passages[::-1], state)], torch.zeros(1)

    def _arange(self, start: int, stop: int) -> Tensor:
        return torch.arange(start, stop, device=self._decoder.device)


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
