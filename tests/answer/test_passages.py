"""From votes to passages: around peaks, to the ends of sentences, within documents, apart from each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tscli import reader
from tscli.answer import passages
from tscli.answer.passages import LEAD, PEAK_RADIUS_TOKENS, SENTENCE_SEARCH_TOKENS, Fit, Passage, PassageFinder, ranked_fits
from tscli.ingest.sections import SECTION, section_starts
from tscli.tokens import Context, DocumentTokens, SourceText, Tokenizer, build_context, load_template, load_tokenizer

SENTENCE = "The harbour master walked along the quay in the evening. "


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(str(reader.path()))


@pytest.fixture(scope="module")
def context(tokenizer: Tokenizer) -> Context:
    sources = [SourceText(name, name, (SENTENCE * count,), False, name) for name, count in (("a.txt", 60), ("b.txt", 3))]
    return build_context(tokenizer, load_template(tokenizer), sources)


def votes_at(context: Context, finder: PassageFinder, *positions: int) -> torch.Tensor:
    votes = torch.full((2, context.token_ids.shape[0] - finder.first), 1e-6)
    for number, position in enumerate(positions):
        votes[:, position - finder.first] = 1.0 - 0.1 * number
    return votes


def test_a_passage_surrounds_its_peak_and_ends_where_sentences_do(context: Context, tokenizer: Tokenizer) -> None:
    finder = PassageFinder(context, tokenizer)
    peak = context.documents[0].token_start + 300
    [passage] = finder.best(votes_at(context, finder, peak), 1)
    assert passage.start <= peak - PEAK_RADIUS_TOKENS
    assert passage.end >= peak + PEAK_RADIUS_TOKENS
    assert len(passage) <= 2 * (PEAK_RADIUS_TOKENS + SENTENCE_SEARCH_TOKENS)
    text = tokenizer.decode(context.token_ids[passage.start : passage.end].tolist())
    assert text.strip().startswith("The harbour")
    assert text.strip().endswith("evening.")


def test_passages_do_not_overlap_nor_cross_documents(context: Context, tokenizer: Tokenizer) -> None:
    finder = PassageFinder(context, tokenizer)
    first, second = context.documents
    found = finder.best(votes_at(context, finder, first.token_end - 3, second.token_start + 3, first.token_end - 70), 6)
    spans = sorted((passage.start, passage.end) for passage in found)
    assert all(before[1] <= behind[0] for before, behind in pairwise(spans))
    assert all(end <= first.token_end or start >= second.token_start for start, end in spans)


def test_no_passage_is_found_where_none_is_asked_for(context: Context, tokenizer: Tokenizer) -> None:
    finder = PassageFinder(context, tokenizer)
    words = finder.words(tokenizer.encode_text(["Where did the harbour master walk?"])[0].ids.tolist())
    assert len(finder.by_words(words, 2)) == 2
    assert finder.by_words(words, 0) == []
    assert finder.best(votes_at(context, finder, context.documents[0].token_start + 300), 0) == []


def test_what_is_left_out_is_in_no_passage(context: Context, tokenizer: Tokenizer) -> None:
    finder = PassageFinder(context, tokenizer)
    peak = context.documents[0].token_start + 300
    barred = torch.arange(peak - 20, peak + 20)
    found = finder.best(votes_at(context, finder, peak, peak + 100), 4, excluded=barred)
    assert found
    assert all(passage.end <= peak - 20 or passage.start >= peak + 20 for passage in found)


def test_a_passages_lead_is_its_documents_beginning_as_far_as_it_stands_before_it(
    context: Context, tokenizer: Tokenizer
) -> None:
    finder = PassageFinder(context, tokenizer)
    start = context.documents[0].token_start
    far, near = (finder.best(votes_at(context, finder, start + place), 1)[0] for place in (300, 5))
    assert (far.lead, far.lead_end) == (start, start + LEAD)
    assert near.lead_end == near.lead == near.start == start


def repeated(tokenizer: Tokenizer, text: str, question: str) -> str:
    """The sentence of a document of so much text, taken as one passage, that is repeated after it."""
    context = build_context(tokenizer, load_template(tokenizer), [SourceText("a.txt", "a", (text,), False, "a.txt")])
    finder, [document] = PassageFinder(context, tokenizer), context.documents
    start = next(at for at in range(document.token_start, document.token_end) if context.page[at])
    passage = Passage(start, document.token_end, start, start)
    words = finder.words(tokenizer.encode_text([question])[0].ids.tolist())
    found = finder.with_sentence(passage, words)
    assert found == passage  # it is the same passage, whatever is repeated
    assert all(passage.start <= start < end <= passage.end for start, end in found.repeated)
    assert len(found.repeated) <= 1
    return "".join(finder.text(*sentence) for sentence in found.repeated).strip()


STOUT = "The bakery opens at seven. The mill stands on the hill above it. The smith lives by the river."


@pytest.mark.parametrize(
    ("text", "question", "wanted"),
    [
        (STOUT, "On which hill does the mill stand?", "The mill stands on the hill above it."),
        (STOUT, "When does the bakery open?", "The bakery opens at seven."),  # the first one
        (STOUT, "Where does the smith live, by which river?", "The smith lives by the river."),  # and the last
        (STOUT, "Who is the harbour master?", ""),  # all of them have as much of that
        ("The mill stands on the hill. The mill stands by the sea.", "Where does the mill stand?", ""),
        ("The mill stands on the hill above it.", "Where does the mill stand?", ""),  # there is only one
        (f"The bakery opens at seven. The mill {'and the hill ' * 40}.", "Where is the mill?", ""),  # too long to be repeated
        ("", "Where is the mill?", ""),
    ],
)
def test_a_sentence_that_stands_out_by_the_questions_words_is_repeated(
    tokenizer: Tokenizer, text: str, question: str, wanted: str
) -> None:
    assert repeated(tokenizer, text or "x", question) == wanted


def document_of(tokens: int, start: int, pages: int = 1) -> tuple[DocumentTokens, np.ndarray]:
    own = DocumentTokens("a", "a", "a", pages, pages > 1, start, start + tokens)
    return own, np.repeat(np.arange(1, pages + 1, dtype=np.int32), -(-tokens // pages))[:tokens]


def sections(tokens: int, window: int, pages: int = 1) -> list[int]:
    document, page = document_of(tokens, 10, pages)
    pages_of = np.concatenate([np.zeros(10, dtype=np.int32), page])
    blank = np.zeros(tokens + 10, dtype=np.int32)
    return section_starts(Context(blank, blank, pages_of, blank, blank, (document,)), window)


@pytest.mark.parametrize(("tokens", "window"), [(100, 200), (190, 200), (5000, 8192)])
def test_what_fits_the_window_is_not_cut(tokens: int, window: int) -> None:
    assert sections(tokens, window) == [10]


@pytest.mark.parametrize(("tokens", "window", "pages"), [(191, 200, 1), (5000, 300, 1), (100_000, 8192, 1), (9000, 2048, 37)])
def test_every_section_fits_the_window_behind_the_prefix(tokens: int, window: int, pages: int) -> None:
    starts = sections(tokens, window, pages)
    sizes = [stop - start for start, stop in zip(starts, [*starts[1:], tokens + 10], strict=True)]
    assert len(starts) > 1
    assert starts[0] == 10
    assert all(0 < size <= min(window - 10, SECTION) for size in sizes)


def test_sections_begin_where_pages_do_when_one_is_near() -> None:
    starts = sections(9000, 2048, pages=90)
    assert all((start - 10) % 100 == 0 for start in starts)


def fit(start: int, end: int, gain: float, share: float = 0.0) -> Fit:
    return Fit(Passage(start, end, 0, 0), gain, share)


def test_passages_fit_by_gain_and_share_together() -> None:
    likely, named, neither = fit(0, 100, 1.0, 0.1), fit(200, 300, 0.4, 0.9), fit(400, 500, 0.9, 0.1)
    assert ranked_fits([likely, neither, named]) == [named, likely, neither]


def test_of_passages_that_share_more_than_half_the_better_one_stays() -> None:
    better, same, beside = fit(0, 100, 1.0), fit(40, 140, 0.9), fit(60, 160, 0.8)
    assert ranked_fits([beside, same, better]) == [better, beside]
    within = fit(10, 40, 2.0)
    assert ranked_fits([better, within]) == [within, better]  # most of the longer one stands elsewhere


def test_the_shortlist_holds_a_question_s_tokens_its_passages_and_the_most_frequent(
    context: Context, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages, "FREQUENT", 3)
    finder, question = PassageFinder(context, tokenizer), tokenizer.encode_text(["Who owns a zeppelin?"])[0].ids.tolist()
    [passage] = finder.best(votes_at(context, finder, context.documents[1].token_start + 3), 1)
    found = finder.shortlist(question, [replace(passage, repeated=((finder.first, finder.first + 2),))])
    spans = [(passage.lead, passage.lead_end), (passage.start, passage.end), (finder.first, finder.first + 2)]
    own = {token for start, end in spans for token in context.token_ids[start:end].tolist()}
    assert found.tolist() == sorted({0, 1, 2, *question, *own})
    monkeypatch.setattr(passages, "FREQUENT", 10**9)
    assert finder.shortlist(question, [passage]).tolist() == list(range(tokenizer.vocab_size))
