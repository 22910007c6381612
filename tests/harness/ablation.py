"""What each part of answering by calibrated heads is worth: the same questions with one part changed at a time.

    python tests/harness/ablation.py LIBRARY QUESTIONS.jsonl JSON [ROW ...]

Prints a row for each change, and writes them all to JSON: of each kind of question how many were answered right; how many have
the wanted answer in a passage that was attended ("found"); the median time to the first token. Rows named here are run alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import tscli
from tscli.answer import answer_judge, namesakes, passage_search, passages, retrieval_answer, words
from tscli.answer.contrast import CONTRAST
from tscli.answer.passages import Fit, Passage
from tscli.answer.question_reading import PassageReading
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.answer.session import Session, open_library
from tscli.evaluation.questions import Question, ScoredAnswer, ask_all
from tscli.ingest.doctor import processor
from tscli.selection.retrieval_heads import RetrievalHeads, window_votes

Change = Callable[[Session], Any]  # a context manager that holds while the questions are asked
MORE = 8  # candidates where the heads alone, or the words alone, bring them


@contextmanager
def changed(
    session: Session, retrieval_heads: Callable[[RetrievalHeads], RetrievalHeads] | None = None, **parts: Any
) -> Iterator[None]:
    """Other retrieval heads, and other parts of `passage_search` by name."""
    strategy = session.strategy
    assert isinstance(strategy, RetrievalStrategy)
    kept = strategy.retrieval_heads
    with ExitStack() as stack:
        for name, value in parts.items():
            stack.enter_context(patch.object(passage_search, name, value))
        strategy.retrieval_heads = retrieval_heads(kept) if retrieval_heads else kept
        try:
            yield
        finally:
            strategy.retrieval_heads = kept


def heads(session: Session, chosen: Callable[[RetrievalHeads], Sequence[tuple[int, int]]]) -> Any:
    """Candidates by these heads alone."""

    def other(retrieval_heads: RetrievalHeads) -> RetrievalHeads:
        own = tuple(chosen(retrieval_heads))
        return replace(retrieval_heads, heads=own, skill=(1.0,) * len(own))

    return changed(session, other, BY_HEADS=MORE, BY_WORDS=0, LEAST_SHARE=0.0)


def from_layer(session: Session, first: int) -> Any:
    """All heads of the layers from `first` on."""
    layers, count = session.decoder.layers, session.decoder.q_heads
    return heads(session, lambda _: [(layer, head) for layer in range(first, layers) for head in range(count)])


def passages_of(session: Session, count: int, apart: bool) -> Any:
    """So many passages, each by itself or all together."""
    return changed(session, lambda retrieval_heads: replace(retrieval_heads, passages=count, apart=apart))


@contextmanager
def window(session: Session, width: int) -> Iterator[None]:
    """Votes pooled over windows of so many tokens."""
    with (
        patch.object(passages, "WINDOW", width),
        patch.object(passages, "window_votes", partial(window_votes, width=width)),
        patch.object(words, "WINDOW", width),
    ):
        yield


def best_first(session: Session) -> Any:
    """Three passages together, the best in front."""
    rank = passage_search.ranked_fits

    def reversed_fits(fits: Sequence[Fit]) -> list[Fit]:
        return rank(fits)[:3][::-1]

    return changed(
        session, lambda retrieval_heads: replace(retrieval_heads, passages=3, apart=False), ranked_fits=reversed_fits
    )


def by_votes(session: Session) -> Any:
    """Candidates by the heads, in the order of their votes: the question is not read behind them."""

    def read(
        decoder: Any, state: Any, prompt: Any, before: Any, found: Sequence[Passage], shortlist: Any, excluded: Any
    ) -> PassageReading:
        return PassageReading(tuple(found), tuple(1.0 - 0.1 * place for place in range(len(found))), None)

    return changed(session, BY_WORDS=0, LEAST_SHARE=0.0, read_after_passages=read, ranked_fits=list)


def by_gain(session: Session) -> Any:
    """Passages ranked by how likely they make the question, without its words' share."""
    rank = passage_search.ranked_fits
    return changed(session, ranked_fits=lambda fits: rank([replace(fit, share=0.0) for fit in fits]))


def twice(session: Session) -> Any:
    """The first pass once more behind the three passages that its votes found."""
    strategy, read = session.strategy, passage_search.question_votes
    assert isinstance(strategy, RetrievalStrategy)

    def votes(
        decoder: Any, state: Any, retrieval_heads: RetrievalHeads, prompt: Any, before: Tensor, first: int, stop: int
    ) -> Tensor:
        found = strategy.finder.best(read(decoder, state, retrieval_heads, prompt, before, first, stop), 3)[::-1]
        spans = [torch.arange(passage.start, passage.end) for passage in found]
        return read(decoder, state, retrieval_heads, prompt, torch.cat([before, *spans]), first, stop)

    return changed(session, question_votes=votes)


ROWS: dict[str, Change] = {
    "as it is": changed,
    "candidates by the calibrated heads alone": lambda session: heads(session, lambda retrieval_heads: retrieval_heads.heads),
    "by the best head": lambda session: heads(session, lambda retrieval_heads: retrieval_heads.heads[:1]),
    "by the 4 best heads": lambda session: heads(session, lambda retrieval_heads: retrieval_heads.heads[:4]),
    "by all heads of the upper half": lambda session: from_layer(session, session.decoder.layers // 2),
    "by all heads": lambda session: from_layer(session, 0),
    "8 by the heads and 4 by the words": lambda session: changed(session, BY_HEADS=8),
    "whatever share of the words they have": lambda session: changed(session, LEAST_SHARE=0.0),
    "by the question's words alone": lambda session: changed(session, BY_HEADS=0, BY_WORDS=MORE),
    "windows of 16 tokens": lambda session: window(session, 16),
    "windows of 32": lambda session: window(session, 32),
    "windows of 128": lambda session: window(session, 128),
    "1 passage": lambda session: passages_of(session, 1, True),
    "2 passages, each by itself": lambda session: passages_of(session, 2, True),
    "4, each by itself": lambda session: passages_of(session, 4, True),
    "8, each by itself": lambda session: passages_of(session, 8, True),
    "2 together, the best last": lambda session: passages_of(session, 2, False),
    "3 together, the best last": lambda session: passages_of(session, 3, False),
    "3 together, the best first": best_first,
    "8 together, the best last": lambda session: passages_of(session, 8, False),
    "no second pass: in the order of the heads' votes": by_votes,
    "ranked by gain, without the words": by_gain,
    "no sentence repeated": lambda session: patch.object(passages, "STANDS_OUT", 1.1),
    "no sentence of another document": lambda session: changed(session, bridged=lambda *parts: list(parts[4])),
    "contrast of what the question says, too": lambda session: patch.object(retrieval_answer, "restates", lambda *_: False),
    "sentences judged, not clauses": lambda session: patch.object(answer_judge, "CLAUSE_ENDS", ()),
    "answers about another one of a like name, too": lambda session: patch.object(namesakes, "another_named", lambda *_: ""),
    "first pass again behind what it found": twice,
    "no contrast": lambda session: changed(session, lambda retrieval_heads: replace(retrieval_heads, contrast=0.0)),
    "contrast": lambda session: changed(session, lambda retrieval_heads: replace(retrieval_heads, contrast=CONTRAST)),
}
PAPER = "the paper's way: all heads, each token selects"


def measured(session: Session, questions: Sequence[Question]) -> dict[str, Any]:
    """What one row says."""
    started, found = time.perf_counter(), list[bool]()

    def look(done: int, total: int) -> None:
        outcome, question = getattr(session.strategy, "outcome", None), questions[done - 1]
        reading = outcome.reading if outcome else None
        if reading is not None and question.answer is not None:
            ids = session.context.token_ids
            spans = [span for one in reading.passages for span in ((one.start, one.end), *one.repeated)]
            texts = [session.tokenizer.decode(ids[start:end].tolist()) for start, end in spans]
            wanted = [" ".join(one.split()).casefold() for one in (question.answer, *question.more)]
            found.append(any(one in " ".join(text.split()).casefold() for one in wanted for text in texts))

    answers = ask_all(session, questions, on_answer=look).answers
    kinds = list(dict.fromkeys(question.kind for question in questions))
    times = [answer.ttft_s for answer in answers if answer.ttft_s is not None]
    return {
        "right": {kind: _right(answers, kind) for kind in kinds},
        "of": {kind: sum(question.kind == kind for question in questions) for kind in kinds},
        "found": sum(found) if found else None,
        "ttft_s": median(times) if times else None,
        "seconds": time.perf_counter() - started,
    }


def _right(answers: Sequence[ScoredAnswer], kind: str) -> int:
    return sum(answer.right for answer in answers if answer.question.kind == kind)


def main(library: str, file: Path, out: Path, *names: str) -> None:
    questions, rows = tscli.read_questions(file), dict[str, Any]()
    content: dict[str, Any] = {
        "what": f"{len(questions)} questions of {file.name} to the library {library}, one part of answering changed at a time",
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": tscli.versions(),
        "rows": rows,
    }
    for name in names or (*ROWS, PAPER):
        with open_library(library, voters="all" if name == PAPER else None) as session:
            content |= {"model": session.model_name, "tokens": int(session.context.token_ids.shape[0])}
            with ROWS[name](session) if name in ROWS else ExitStack():
                rows[name] = measured(session, questions)
        own = rows[name]
        ttft = f"{own['ttft_s']:.2f} s" if own["ttft_s"] is not None else "-"
        print(f"{name}: {own['right']} of {own['of']}, found {own['found']}, TTFT {ttft}", flush=True)
        out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
