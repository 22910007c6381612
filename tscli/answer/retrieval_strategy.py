"""Questions answered from passages that calibrated heads found: the way from a question to its answer.

    vote     the question, read alone, votes on all cached tokens by a few heads          question_votes
             so do its words, by where they stand                                          QuestionWords
    rank     the question after each candidate passage: which of them makes it likely?    read_after_passages
             each followed once more by its sentence that stands out by the question's words   with_sentence
    answer   token by token, dense over these few rows: for each passage by itself (mixed), going on from where the ranking read
             the question, or, as the model was calibrated, all of them together, the best last, in a pass of their own;
             along with the same without passages, so that what they change may count for more              contrasted
    check    an answer that says nothing which the passages make likelier is none, nor are its sentences   AnswerJudge
             and what is said of another one of a like name makes nothing likelier         namesakes
    move     every so many answer tokens, the heads' votes may bring another passage in; question and answer so far are then
             read after it, and anew where passages are read together, since what was computed depends on what they said

Knows the model, its state and passages of a context; knows no libraries and no text.
"""

from __future__ import annotations

from tscli.answer.engine import Request
from tscli.answer.passages import LONGEST, PassageFinder
from tscli.answer.retrieval_answer import Outcome, RetrievalAnswer
from tscli.answer.statistics import QuestionReading
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.selection.guard import Guard
from tscli.selection.retrieval_heads import RetrievalHeads


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
        self.outcome = Outcome()  # of the last question
        self.refuses = refuses
        self.conversation = conversation
        self.is_busy = self.is_closed = False

    @property
    def question_read(self) -> float:
        """See `SessionStrategy`."""
        return self.outcome.question_read

    @property
    def grounded(self) -> int | None:
        """See `SessionStrategy`."""
        return self.outcome.grounded

    @property
    def is_none(self) -> bool:
        """See `SessionStrategy`."""
        return self.outcome.is_none

    @property
    def namesake(self) -> str:
        """See `SessionStrategy`."""
        return self.outcome.namesake

    @property
    def log_probs(self) -> list[float]:
        """See `SessionStrategy`."""
        return self.outcome.log_probs

    @property
    def first(self) -> int:
        """How many of the context's first tokens are always attended."""
        return self.finder.first

    @property
    def question_reading(self) -> QuestionReading | None:
        """What there is to say of how the last question was read."""
        if (reading := self.outcome.reading) is None:
            return None
        heads = self.retrieval_heads.heads
        passages = [(passage.start, passage.end) for passage in reading.passages]
        answered = reading.answered and not self.is_none
        return QuestionReading([list(head) for head in heads], self.keys_scanned, passages, list(reading.gains), answered)

    @property
    def keys_scanned(self) -> float:
        """See `SessionStrategy`."""
        decoder = self.decoder
        scanned = self.retrieval_heads.kv_heads(decoder.q_heads // decoder.kv_heads)
        return len(scanned) / (decoder.layers * decoder.kv_heads)

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
        return self.outcome.tokens_run

    def another(self, state: KVState, conversation: bool) -> RetrievalStrategy:
        """One with a state of its own over the same pages."""
        how = {"refuses": self.refuses, "conversation": conversation}
        return RetrievalStrategy(self.decoder, state, self.retrieval_heads, self.finder, self.end_ids, **how)

    def begin(self, request: Request) -> RetrievalAnswer:
        """See `Strategy`; `outcome` then says how the question was read, and whether anything answers it."""
        self.outcome = Outcome()
        how = (self.decoder, self.state, self.retrieval_heads, self.finder, request, self.outcome)
        return RetrievalAnswer(*how, most=self._passages, refuses=self.refuses)

    def rewind(self, length: int | None = None) -> None:
        """See `Strategy`."""
        self.state.rewind(self.state.committed if length is None else length)

    def close(self) -> None:
        """Hold no pages any more."""
        self.is_closed = True
        self.state = self.decoder.new_state()
