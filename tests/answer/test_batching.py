"""Questions in step with each other: each is answered as by itself, in order, however long the others take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import tscli
from tests.answer.voting_model import HEADS
from tests.model.architectures import ARCHITECTURES, make_decoder
from tscli.errors import UsageError
from tscli.library.kept_heads import save_retrieval_heads
from tscli.model.attention import Attention
from tscli.model.load import load_decoder
from tscli.model.step import Pass
from tscli.selection.config import SelectionConfig

QUESTIONS = [
    "Where does the stone stand?",
    "Who?",
    "What was the name of the dog that the miller's second daughter found beside the river?",
    "When did it rain?",
    "Where does the stone stand?",
]


WAYS = [("token", "float32"), ("two_pass", "bfloat16"), ("voters", "float32"), ("voters", "bfloat16")]


@pytest.fixture(params=WAYS, ids="-".join)
def session(request: pytest.FixtureRequest, small_model: Path, write_documents: Callable[..., Path]) -> Iterator[tscli.Session]:
    way, dtype = request.param
    load = tscli.LoadOptions(str(small_model), dtype=dtype, device="cpu")
    save_retrieval_heads(load_decoder(load).hash, HEADS)
    tscli.prepare([write_documents()], load=load).run()
    how = {"voters": "calibrated"} if way == "voters" else {"question_mode": way}
    with tscli.open_library("default", load, **how) as opened:  # type: ignore[arg-type]
        yield opened


def ask(session: tscli.Session, question: str, tokens: int, **sampling: float) -> tscli.Answer:
    stream = session.ask(question, max_new_tokens=tokens, **sampling)  # type: ignore[arg-type]
    list(stream)
    return stream.answer


@pytest.mark.parametrize("batch_size", [2, 9])
def test_answers_are_those_of_one_question_at_a_time(session: tscli.Session, batch_size: int) -> None:
    wanted = [ask(session, question, 9) for question in QUESTIONS]
    answers = list(session.ask_batch(iter(QUESTIONS), batch_size, max_new_tokens=9))
    assert [answer.question for answer in answers] == QUESTIONS
    assert [answer.token_ids for answer in answers] == [answer.token_ids for answer in wanted]
    for answer, other in zip(answers, wanted, strict=True):
        mine, theirs = answer.statistics, other.statistics
        assert (mine.recomputed_tokens, mine.prompt_tokens, mine.generated_tokens) == (
            0,
            theirs.prompt_tokens,
            theirs.generated_tokens,
        )
        assert answer.sources == other.sources  # bit for bit


def test_seeds_count_for_each_question(session: tscli.Session) -> None:
    def tokens(batch_size: int, seed: int) -> list[list[int]]:
        answers = session.ask_batch(QUESTIONS, batch_size, max_new_tokens=6, temperature=0.9, seed=seed)
        return [answer.token_ids for answer in answers]

    alone = [ask(session, question, 6, temperature=0.9, seed=4).token_ids for question in QUESTIONS]
    assert tokens(1, 4) == tokens(3, 4) == alone != tokens(3, 5)
    assert alone[0] == alone[4]  # the same question


def test_whoever_stops_listening_leaves_the_library_as_it_was(session: tscli.Session) -> None:
    before = ask(session, QUESTIONS[0], 7).token_ids
    answers = session.ask_batch(QUESTIONS, 3, max_new_tokens=7)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert not session.strategy.is_busy
    assert ask(session, QUESTIONS[0], 7).token_ids == before


def test_what_cannot_go_together_is_refused(small_model: Path, write_documents: Callable[..., Path]) -> None:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([write_documents()], load=load).run()
    with tscli.open_library("default", load, dense=True) as opened, pytest.raises(UsageError, match="leave out --dense"):
        list(opened.ask_batch(QUESTIONS, 2))
    with tscli.open_library("default", load) as opened:
        with pytest.raises(UsageError, match="at least 1"):
            list(opened.ask_batch(QUESTIONS, 0))
        with pytest.raises(UsageError, match="question is empty"):
            list(opened.ask_batch(["Who?", " "], 2))


@pytest.mark.parametrize("kind", list(ARCHITECTURES))
def test_every_models_sequences_are_told_apart(kind: str) -> None:
    decoder, config = make_decoder(kind), SelectionConfig(k=16, n_init=4, n_local=16, chunk=16)
    draw = torch.Generator().manual_seed(3)
    parts = [torch.randint(1, 128, (size,), generator=draw) for size in (40, 1, 7)]
    ahead = [torch.randint(1, 128, (size,), generator=draw) for size in (16, 48, 5)]
    found = []
    for at_a_time in (False, True):
        runs = [Attention(decoder.new_state(), decoder.rotator, config) for _ in parts]
        for ids, run in zip(ahead, runs, strict=True):
            decoder.forward(ids, run, logits=False)
        if at_a_time:
            found.append(torch.cat(list(decoder.forward_batch(list(map(Pass, parts, runs, [[39], [0], [6]]))))))
        else:
            alone = [decoder.forward(part, run) for part, run in zip(parts, runs, strict=True)]
            found.append(torch.stack([logits for logits in alone if logits is not None]))
        assert [run.state.length for run in runs] == [56, 49, 12]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
