"""A question's own words as votes: where they stand, in whichever case, the rarer the more, once per window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tscli import reader
from tscli.answer.passages import PassageFinder
from tscli.answer.words import QuestionWords
from tscli.selection.voters import WINDOW, window_votes
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
        votes = QuestionWords(token_ids, ids(tokenizer, question).tolist(), tokenizer).votes()
        assert votes.shape == token_ids.shape
        assert int(window_votes(votes).argmax()) in (len(before) // WINDOW, len(before) // WINDOW + 1), question


def test_a_word_counts_once_in_a_window(tokenizer: Tokenizer) -> None:
    word = int(ids(tokenizer, " quay")[0])
    other = int(ids(tokenizer, " evening")[0])
    token_ids = np.full(4 * WINDOW, other)
    token_ids[[3, 5, 9, WINDOW + 1]] = word
    votes = window_votes(QuestionWords(token_ids, [word], tokenizer).votes())
    assert votes[0] == votes[1] > 0
    assert votes[2:].tolist() == [0, 0]


def test_marks_are_no_words_and_a_question_without_words_votes_for_nothing(tokenizer: Tokenizer) -> None:
    token_ids = ids(tokenizer, "What? Why? " * 50)
    words = QuestionWords(token_ids, ids(tokenizer, "??!").tolist(), tokenizer)
    assert not words.votes().any()
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
    assert words.votes().shape == (0,)


def test_the_first_passage_by_words_holds_them_all_and_without_votes_there_is_none(tokenizer: Tokenizer) -> None:
    sources = [SourceText("a.txt", "a.txt", (FILLER * 40 + FACT + FILLER * 40,), False, "a.txt")]
    context = build_context(tokenizer, load_template(tokenizer), sources)
    finder = PassageFinder(context, tokenizer)
    words = finder.words(ids(tokenizer, "Brannigan").tolist())
    found = finder.best(words.votes()[None], 4)
    text = tokenizer.decode(context.token_ids[found[0].start : found[0].end].tolist())
    assert "Brannigan" in text
    assert words.share(found[0].start - finder.first, found[0].end - finder.first) == pytest.approx(1.0)
    assert not finder.best(torch.zeros(1, context.token_ids.shape[0] - finder.first), 3)
