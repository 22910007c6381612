"""A question's own words: where they stand together, in whichever case, the rarer the more, once per window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tscli import reader
from tscli.answer.passages import PassageFinder
from tscli.answer.words import QuestionWords
from tscli.selection.retrieval_heads import WINDOW
from tscli.tokens import SourceText, Tokenizer, build_context, load_template, load_tokenizer

FILLER = "The harbour master walked along the quay in the evening. "
FACT = "Captain Brannigan keeps a parrot. "


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(str(reader.path()))


def ids(tokenizer: Tokenizer, text: str) -> np.ndarray:
    return tokenizer.encode_text([text])[0].ids


def test_the_window_of_a_rare_word_comes_first_whatever_its_case(tokenizer: Tokenizer) -> None:
    before = ids(tokenizer, FILLER * 40)
    token_ids = np.concatenate([before, ids(tokenizer, FACT), ids(tokenizer, FILLER * 40)])
    for question in ("who is brannigan", "BRANNIGAN?", "Where does the harbour master keep Brannigan's things?"):
        first = next(QuestionWords(token_ids, ids(tokenizer, question).tolist(), tokenizer).centres())
        assert abs(first - len(before)) < WINDOW, question


def test_a_word_counts_once_in_a_window(tokenizer: Tokenizer) -> None:
    often, seldom, filler = (int(ids(tokenizer, text)[0]) for text in (" quay", " ship", " evening"))
    token_ids = np.full(20 * WINDOW, filler)
    token_ids[3 * WINDOW + np.arange(9)] = often
    token_ids[[12 * WINDOW, 12 * WINDOW + 2]] = often, seldom
    centres = list(QuestionWords(token_ids, [often, seldom], tokenizer).centres())
    assert centres[0] // WINDOW == 12
    assert {centre // WINDOW for centre in centres} == {3, 12}


def test_words_on_both_sides_of_a_window_s_end_are_counted_together(tokenizer: Tokenizer) -> None:
    one, other, filler = (int(ids(tokenizer, text)[0]) for text in (" quay", " ship", " evening"))
    token_ids = np.full(40 * WINDOW, filler)
    token_ids[[7 * WINDOW, 20 * WINDOW, 30 * WINDOW - 5]] = one
    token_ids[[2 * WINDOW, 15 * WINDOW, 30 * WINDOW + 5]] = other
    assert next(QuestionWords(token_ids, [one, other], tokenizer).centres()) == 30 * WINDOW


def test_marks_are_no_words_and_a_question_without_words_votes_for_nothing(tokenizer: Tokenizer) -> None:
    token_ids = ids(tokenizer, "What? Why? " * 50)
    words = QuestionWords(token_ids, ids(tokenizer, "??!").tolist(), tokenizer)
    assert not list(words.centres())
    assert words.share(0, 40) == 0.0


def test_a_share_is_of_the_weight_of_all_words_those_that_stand_nowhere_among_them(tokenizer: Tokenizer) -> None:
    quay, evening, ship = (int(ids(tokenizer, text)[0]) for text in (" quay", " evening", " ship"))
    token_ids = np.full(6 * WINDOW, evening)
    token_ids[70] = quay
    whole = QuestionWords(token_ids, [quay, evening], tokenizer)
    assert whole.share(64, 128) == pytest.approx(1.0)
    assert 0 < whole.share(0, 64) < 0.5 < whole.share(70, 71)
    assert QuestionWords(token_ids, [quay, evening, ship], tokenizer).share(64, 128) < 0.75


def test_no_cached_tokens_are_no_error(tokenizer: Tokenizer) -> None:
    words = QuestionWords(np.zeros(0, dtype=np.int32), ids(tokenizer, "who?").tolist(), tokenizer)
    assert not list(words.centres())


def test_the_first_passage_by_words_holds_them_all_and_without_votes_there_is_none(tokenizer: Tokenizer) -> None:
    sources = [SourceText("a.txt", "a.txt", (FILLER * 40 + FACT + FILLER * 40,), False, "a.txt")]
    context = build_context(tokenizer, load_template(tokenizer), sources)
    finder = PassageFinder(context, tokenizer)
    words = finder.words(ids(tokenizer, "Brannigan").tolist())
    found = finder.by_words(words, 4)
    text = tokenizer.decode(context.token_ids[found[0].start : found[0].end].tolist())
    assert "Brannigan" in text
    assert words.share(found[0].start - finder.first, found[0].end - finder.first) == pytest.approx(1.0)
    assert not finder.best(torch.zeros(1, context.token_ids.shape[0] - finder.first), 3)
