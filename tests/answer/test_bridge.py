"""A sentence elsewhere about a name that a passage's own sentence brings in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tscli.answer.bridge import MOST, bridged
from tscli.answer.passages import PassageFinder
from tscli.tokens import Prompt, SourceText, Tokenizer, build_context, load_template, load_tokenizer

KEEPER = "The bakery opens at seven. The keeper of the old mill is Wanda Crowgate. The smith lives by the river."
ASKED = "What does the keeper of the old mill play?"
PLAYS = "On Sundays Wanda Crowgate plays the flute."
FILLER = "It rained on the meadow for the whole of the night, and nobody came by. " * 12


@pytest.fixture(scope="module")
def tokenizer(small_model: Path) -> Tokenizer:
    return load_tokenizer(str(small_model))


def attended(tokenizer: Tokenizer, *texts: str, excluded: str = "", voted: str = "") -> list[str]:
    """The sentences after the first document's passage; excluded: a text none of whose tokens may be selected; voted: one
    whose tokens the question votes for."""
    sources = [SourceText(f"{number}.txt", "a", (text,), False, f"{number}.txt") for number, text in enumerate(texts)]
    context = build_context(tokenizer, load_template(tokenizer), sources)
    finder = PassageFinder(context, tokenizer)
    ids = tuple(tokenizer.encode_text([ASKED])[0].ids.tolist())
    words = finder.words(ids)
    whole = tokenizer.decode(context.token_ids.tolist())

    def tokens_of(text: str) -> torch.Tensor:
        start, lengths = whole.index(text), [len(tokenizer.decode([int(token)])) for token in context.token_ids]
        ends = np.cumsum(lengths)
        return torch.from_numpy(np.flatnonzero((ends > start) & (ends <= start + len(text))))

    votes = torch.ones(2, context.token_ids.shape[0] - finder.first)
    if voted:
        votes[:, tokens_of(voted) - finder.first] = 9.0
    barred = tokens_of(excluded) if excluded else None
    passages = [finder.with_sentence(one, words) for one in finder.by_words(words, 1)]
    found = bridged(finder, Prompt(ids, 0, len(ids)), words, votes, passages, barred)
    assert found == passages  # the same passages, whatever is repeated after them
    return [finder.text(*sentence).strip() for sentence in found[0].repeated]


OWN = "The keeper of the old mill is Wanda Crowgate."


def test_the_sentence_elsewhere_stands_before_the_passage_s_own(tokenizer: Tokenizer) -> None:
    assert attended(tokenizer, KEEPER, f"{FILLER}{PLAYS} {FILLER}") == [PLAYS, OWN]


def test_nothing_is_added_where_no_other_place_has_the_name(tokenizer: Tokenizer) -> None:
    assert attended(tokenizer, KEEPER, f"{FILLER}On Sundays Wanda Crow plays the flute. {FILLER}") == [OWN]


def test_of_several_sentences_it_is_the_one_that_the_question_votes_for(tokenizer: Tokenizer) -> None:
    other = "A parcel came for Wanda Crowgate at noon."
    text = f"{FILLER}{other} {FILLER}{PLAYS} {FILLER}"
    assert attended(tokenizer, KEEPER, text, voted=PLAYS) == [PLAYS, OWN]
    assert attended(tokenizer, KEEPER, text, voted=other) == [other, OWN]


def test_what_is_excluded_is_no_bridge(tokenizer: Tokenizer) -> None:
    for part in (PLAYS, "flute."):  # not even where the name itself is not
        assert attended(tokenizer, KEEPER, f"{FILLER}{PLAYS} {FILLER}", excluded=part) == [OWN]


def test_a_name_that_stands_everywhere_says_nothing(tokenizer: Tokenizer) -> None:
    assert attended(tokenizer, KEEPER, FILLER + f"{PLAYS} " * (MOST + 1)) == [OWN]


def test_a_name_that_is_asked_for_is_no_bridge(tokenizer: Tokenizer) -> None:
    own = "The keeper of the old mill by Wanda Crowgate."
    assert attended(tokenizer, KEEPER.replace(OWN, own).replace("Wanda Crowgate", "The Keeper"), f"{FILLER}{PLAYS}") == [
        own.replace("Wanda Crowgate", "The Keeper")
    ]
