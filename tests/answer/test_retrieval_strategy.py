"""Questions answered from passages that retrieval heads chose: a random model finds nothing, but what is counted holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tscli
from tests.answer.voting_model import HEADS, answer, save_voting_model
from tscli.answer import question_reading
from tscli.answer.decode import Sampler
from tscli.answer.passages import Passage, PassageFinder
from tscli.answer.question_reading import count_votes
from tscli.answer.retrieval_strategy import RetrievalStrategy
from tscli.answer.stream import NOT_FOUND
from tscli.answer.words import QuestionWords
from tscli.errors import UsageError, WindowFull
from tscli.evidence import selected_by
from tscli.model import head_keys
from tscli.model.gathered import GatheredRun, Rows
from tscli.model.kv import KVState
from tscli.model.rotary import Rotator
from tscli_kernels import PAGE_SCALE, expand_rows, quantise_rows

WriteDocuments = Callable[..., Path]


@pytest.fixture
def load(small_model: Path, tmp_path: Path) -> tscli.LoadOptions:
    return save_voting_model(small_model, tmp_path / "voting")


@pytest.fixture
def library(load: tscli.LoadOptions, write_documents: WriteDocuments) -> str:
    tscli.prepare([write_documents(words=200)], "voted", load).run()
    return "voted"


def give_passages(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Answers get so many passages, though the small model's window may hold fewer."""
    monkeypatch.setattr(RetrievalStrategy, "_passages", count)
    monkeypatch.setattr(RetrievalStrategy, "most_attended", lambda *_: 0)


def test_no_document_token_is_computed_again_and_the_cache_is_as_before(library: str) -> None:
    with tscli.open_library(library) as session:
        before = session.strategy.state.length
        first, second = answer(session), answer(session)
        assert session.strategy.state.length == before
    assert first.statistics.recomputed_tokens == second.statistics.recomputed_tokens == 0
    assert first.token_ids == second.token_ids
    assert first.statistics.question_mode == "voters"


def test_statistics_say_who_voted_and_what_was_attended(library: str) -> None:
    with tscli.open_library(library) as session:
        found = answer(session)
    reading = found.statistics.reading
    assert reading is not None
    assert reading.heads == [[1, 0], [0, 3], [1, 2]]
    assert len(reading.passages) == 1  # half of a window of 256 holds no more
    assert reading.gains == sorted(reading.gains, reverse=True)
    rows = sum(end - start for start, end in reading.passages)
    assert found.statistics.selected_mean == rows
    assert 0 < reading.keys_scanned <= 1
    text = selected_by(found.statistics)
    assert text.startswith(f"retrieval heads 1.0, 0.3, 1.2 (layer.head), which scanned {reading.keys_scanned:.1%} of the keys")
    assert text.endswith(": 1 passage")
    assert found.sources
    assert sum(source.share for source in found.sources) == pytest.approx(1)


def test_passages_that_are_left_out_are_not_attended(library: str) -> None:
    with tscli.open_library(library) as session:
        spans = answer(session).statistics.reading.passages  # type: ignore[union-attr]
        again = answer(session, excluded=spans).statistics.reading
    assert again is not None
    for start, end in again.passages:
        assert all(end <= left or start >= right for left, right in spans)


def test_a_question_that_no_passage_makes_likelier_is_refused_with_the_nearest(library: str) -> None:
    with tscli.open_library(library) as session:
        strategy = session.strategy
        assert isinstance(strategy, RetrievalStrategy)
        strategy.retrieval_heads = replace(strategy.retrieval_heads, absent_below=9.0)
        found = answer(session)
        cited = tscli.find_evidence(session, found).citations
    assert found.text == NOT_FOUND
    assert found.token_ids == []
    assert found.statistics.generated_tokens == 0
    assert found.sources
    assert cited


def test_the_nearest_sentence_is_the_one_with_the_question_s_words(load: tscli.LoadOptions, tmp_path: Path) -> None:
    text = (
        "It rained all morning and the men stayed in. " * 3
        + "The stone lies in the yard. "
        + "Nobody spoke of it, and so it went on. " * 3
    )
    (tmp_path / "a.txt").write_text(text)
    tscli.prepare([tmp_path / "a.txt"], "near", load).run()
    with tscli.open_library("near") as session:
        assert isinstance(session.strategy, RetrievalStrategy)
        session.strategy.retrieval_heads = replace(session.strategy.retrieval_heads, absent_below=9.0)
        cited = tscli.find_evidence(session, answer(session)).citations
    assert cited[0].quote == "The stone lies in the yard."


def test_nothing_is_answered_where_there_is_nothing_to_vote_on(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tscli.open_library(library) as session:
        assert isinstance(session.strategy, RetrievalStrategy)
        stream = session.ask("Where is the stone?", max_new_tokens=6)
        monkeypatch.setattr(session.strategy.finder, "first", session.strategy.state.committed)
        assert "".join(stream) == NOT_FOUND


def test_a_question_about_a_name_that_stands_nowhere_is_refused_and_says_so(library: str) -> None:
    with tscli.open_library(library) as session:
        found = answer(session, "Where is the stone of Ockwick and Thornbury's bell?")
        chat = session.chat()
        for question in ("Where is the stone?", "Where is the stone of Ockwick?"):
            later = chat.ask(question, max_new_tokens=4)
            list(later)
    assert found.text == f"{NOT_FOUND} Nothing there is named Ockwick or Thornbury."
    assert found.token_ids == []
    assert found.sources
    assert later.answer.token_ids


def test_all_heads_vote_where_that_is_asked_for(library: str) -> None:
    with tscli.open_library(library, voters="all") as session:
        assert not isinstance(session.strategy, RetrievalStrategy)
    with tscli.open_library(library, question_mode="token") as session:
        assert answer(session).statistics.question_mode == "token"
    with pytest.raises(UsageError, match="--voters some"):
        tscli.open_library(library, voters="some")


def test_a_conversation_goes_on_and_can_be_forgotten(library: str) -> None:
    with tscli.open_library(library) as session:
        chat = session.chat()
        first = chat.ask("Where is the stone?", max_new_tokens=4)
        list(first)
        assert first.answer.token_ids == answer(session).token_ids[:4]
        spoken = chat.tokens
        assert spoken == len(first.prompt_ids) + len(first.answer.token_ids)
        second = chat.ask("And the other?", max_new_tokens=4)
        list(second)
        assert second.answer.statistics.recomputed_tokens == 0
        assert chat.tokens > spoken
        chat.reset()
        assert chat.tokens == 0
        again = chat.ask("Where is the stone?", max_new_tokens=4)
        list(again)
    assert again.answer.token_ids == first.answer.token_ids


def test_questions_together_get_what_each_gets_by_itself(library: str) -> None:
    questions = ["Where is the stone?", "Who begins here?", "What is the file?"]
    with tscli.open_library(library) as session:
        alone = [answer(session, question).token_ids for question in questions]
        together = list(session.ask_batch(questions, 2, max_new_tokens=6))
    assert [one.token_ids for one in together] == alone


def test_a_long_answer_goes_on_voting(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.answer.retrieval_answer.MOVE_EVERY", 2)
    with tscli.open_library(library) as session:
        session.strategy.end_ids = frozenset()
        before = session.strategy.state.length
        found = answer(session)
        assert session.strategy.state.length == before
    assert found.statistics.generated_tokens == 6
    assert found.statistics.recomputed_tokens == 0


def move_after(monkeypatch: pytest.MonkeyPatch, session: tscli.Session, tokens: int) -> Passage:
    """Each answer gets the passage that is returned once it has so many tokens."""
    first, stop = session.context.documents[2].token_start + 60, session.strategy.state.committed
    later, best = Passage(first, first + 50, first, first), PassageFinder.best
    assert later.end < stop

    def found(finder: PassageFinder, votes: torch.Tensor, count: int, excluded: torch.Tensor | None = None) -> list[Passage]:
        barred = torch.arange(later.start, later.end)
        return [later] if count == 1 else best(finder, votes, count, barred)

    monkeypatch.setattr("tscli.answer.retrieval_answer.MOVE_EVERY", tokens)
    monkeypatch.setattr(PassageFinder, "best", found)
    monkeypatch.setattr(PassageFinder, "by_words", lambda *_: [])
    return later


def test_where_passages_have_moved_each_token_is_said_to_draw_on_those_that_it_was_made_of(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tscli.open_library(library) as session:
        session.strategy.end_ids = frozenset()
        later = move_after(monkeypatch, session, 3)
        found = answer(session)
    reading = found.statistics.reading
    assert reading is not None
    assert reading.passages[1:] == [(later.start, later.end)]
    assert len(reading.gains) == 2
    assert len(found.attribution) == len(found.token_ids) == 6
    for number, token in enumerate(found.attribution):
        start, end = reading.passages[0 if number < 3 else 1]
        assert all(start <= place < end for place in token.positions)
    assert found.statistics.recomputed_tokens == 0


@pytest.mark.parametrize("apart", [True, False])
def test_where_passages_have_moved_answers_are_what_separate_passes_over_them_give(
    library: str, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    give_passages(monkeypatch, 2)
    with tscli.open_library(library) as session:
        strategy, scores = session.strategy, list[torch.Tensor]()
        assert isinstance(strategy, RetrievalStrategy)
        strategy.retrieval_heads, strategy.end_ids = replace(HEADS, apart=apart, contrast=0.5), frozenset()
        later = move_after(monkeypatch, session, 2)
        chosen = Sampler.next_token
        monkeypatch.setattr(Sampler, "next_token", lambda self, own: scores.append(own.clone()) or chosen(self, own))
        found = answer(session)
        reading = found.statistics.reading
        assert reading is not None
        prefix, ids = torch.arange(strategy.finder.first), list(session.template.prompt(session.tokenizer, found.question).ids)
        assert strategy.outcome.reading is not None
        best = strategy.outcome.reading.passages[0]
        repeated = torch.cat([torch.arange(*sentence) for sentence in best.repeated] or [torch.arange(0)])
        spans = [torch.arange(later.start, later.end), torch.cat([torch.arange(*reading.passages[0]), repeated])]
        rows = [torch.cat([prefix, span]) for span in spans] if apart else [torch.cat([prefix, *spans[::-1]])]
        for number in (2, 3):
            read = [torch.softmax(_next(session, own, ids + found.token_ids[:number]), dim=-1) for own in rows]
            behind = torch.stack(read).mean(dim=0)  # the later one weighs as much as the best
            known = torch.softmax(_next(session, prefix, ids + found.token_ids[:number]), dim=-1)
            wanted = 1.5 * behind.log() - 0.5 * known.log()
            wanted = wanted.masked_fill(behind < 0.1 * behind.max(), -torch.inf)
            torch.testing.assert_close(scores[number].double(), wanted, rtol=1e-4, atol=1e-4)


def test_neither_passages_nor_their_leads_are_read_where_they_are_left_out(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[int]()
    with tscli.open_library(library) as session:
        first, run = session.strategy.first, question_reading.GatheredRun

        def seen(state: KVState, rotator: Rotator, rows: list[Rows], **how: Any) -> GatheredRun:
            read.extend(place for one in rows for place in one.positions.tolist())
            return run(state, rotator, rows, **how)

        monkeypatch.setattr(question_reading, "GatheredRun", seen)
        spans = [(document.token_start, document.token_start + 20) for document in session.context.documents]
        answer(session, excluded=[*spans, (0, 2), (10**6, 10**6 + 2)])  # what is no document's is in no passage anyway
    assert max(read) > first
    assert not [place for place in read if any(start <= place < end for start, end in spans)]


def test_an_answer_gets_no_longer_than_the_window_has_room_for_beside_its_passages(library: str) -> None:
    with tscli.open_library(library) as session:
        question, window = "Where is the stone?", session.decoder.window
        room = window - session.strategy.most_attended(10**6) - len(session.prompt_ids(question))
        assert 0 < room < window // 2
        assert session.ask(question, max_new_tokens=10**6).begin().max_new_tokens == room
        with pytest.raises(WindowFull, match=r"along with .* of the documents"):
            session.ask("stone " * (window // 4))
        with pytest.raises(WindowFull, match=r"along with .* of the documents"):
            list(session.ask_batch(["stone " * (window // 4)], 2))


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("contrast", "repeated"), [(0.0, 0), (0.5, 0), (0.5, 7)])
def test_an_answer_is_what_separate_passes_over_its_passages_give(
    library: str, monkeypatch: pytest.MonkeyPatch, apart: bool, contrast: float, repeated: int
) -> None:
    give_passages(monkeypatch, 2)

    def with_sentence(_: PassageFinder, passage: Passage, words: QuestionWords) -> Passage:
        return replace(passage, repeated=((passage.start, passage.start + repeated),))

    monkeypatch.setattr(PassageFinder, "with_sentence", with_sentence)
    with tscli.open_library(library) as session:
        strategy = session.strategy
        assert isinstance(strategy, RetrievalStrategy)
        strategy.retrieval_heads = replace(HEADS, apart=apart, contrast=contrast)
        found = answer(session)
        reading = found.statistics.reading
        assert reading is not None
        assert len(reading.passages) == 2
        prefix, ids = torch.arange(strategy.finder.first), list(session.template.prompt(session.tokenizer, found.question).ids)
        spans = [torch.cat([torch.arange(*span), torch.arange(span[0], span[0] + repeated)]) for span in reading.passages]
        rows = [torch.cat([prefix, span]) for span in spans] if apart else [torch.cat([prefix, *spans[::-1]])]
        weights = torch.softmax(5 * torch.tensor(reading.gains).double(), dim=0) if apart else torch.ones(1)
        made = list[int]()
        for _ in found.token_ids:
            read = [_next(session, own, ids + made) for own in rows]
            behind = sum(weight * torch.softmax(one, dim=-1) for weight, one in zip(weights, read, strict=True))
            assert isinstance(behind, torch.Tensor)
            known = torch.softmax(_next(session, prefix, ids + made), dim=-1)
            scores = (1 + contrast) * behind.log() - contrast * known.log()
            if contrast:
                scores = scores.masked_fill(behind < 0.1 * behind.max(), -torch.inf)
            made.append(int(scores.argmax()))
    assert made == found.token_ids
    assert made
    assert sum(source.share for source in found.sources) == pytest.approx(1)


def _next(session: tscli.Session, rows: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """Logits [vocab] float64 behind these cached rows and tokens, all of them run in one pass."""
    run = GatheredRun(session.strategy.state, session.decoder.rotator, [Rows.behind_each_other(rows)])
    with torch.inference_mode():
        logits = session.decoder.forward(torch.tensor(ids), run)
    assert logits is not None
    return logits.double()


@pytest.mark.parametrize("at_once", [1, 64])
def test_heads_that_share_keys_vote_as_each_does_separately(
    library: str, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(head_keys, "QUERY_BATCH", at_once)
    retrieval_heads = replace(HEADS, heads=((1, 0), (0, 3), (1, 1), (1, 2)), skill=(0.9, 0.8, 0.7, 0.6))
    with tscli.open_library(library) as session:
        decoder, state = session.decoder, session.strategy.state
        queries = {place: torch.randn(5, decoder.head_dim) for place in range(4)}
        votes = count_votes(decoder, state, retrieval_heads, queries, 3, state.committed)
        for place, (layer, head) in enumerate(retrieval_heads.heads):
            keys = state.keys_at(layer, torch.arange(3, state.committed))[head // (decoder.q_heads // decoder.kv_heads)]
            own = queries[place] @ expand_rows(*quantise_rows(keys, PAGE_SCALE)).T
            torch.testing.assert_close(votes[place], torch.softmax(own, dim=-1).sum(dim=0), rtol=1e-4, atol=1e-7)
