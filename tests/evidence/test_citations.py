"""Citations from known attention: the right tokens, pages and quotes; nothing counts but selected text of documents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tscli import reader
from tscli.answer.token_attribution import TokenAttribution
from tscli.evidence.citations import cite, weights_of
from tscli.evidence.support import is_weak, support
from tscli.tokens import Context, SourceText, Tokenizer, build_context, load_template, load_tokenizer

PAGES = (
    "The harbour opens at six. The harbour master is Odile Farrant. Ships have to wait outside it.",
    "Résumé of the naïve pilot: “Wren” 😀 sings. The depth at the quay is nine metres.",
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(str(reader.path()))


@pytest.fixture(scope="module")
def context(tokenizer: Tokenizer) -> Context:
    sources = [SourceText("a.pdf", "1", PAGES, True, "a.pdf"), SourceText("b.txt", "2", PAGES[:1], False, "b.txt")]
    return build_context(tokenizer, load_template(tokenizer), sources)


@pytest.mark.parametrize(
    ("taken", "text", "quote"),
    [
        ("-\n", "The old lighthouse\nof Holm is white.", "The old light- house of Holm is white."),
        ("\n", "Mrs Long-Strand\nof Holm is here.", "Mrs Long- Strand of Holm is here."),
    ],
)
def test_a_quote_has_a_word_as_the_documents_lines_break_it(tokenizer: Tokenizer, taken: str, text: str, quote: str) -> None:
    page = f"The harbour opens at six. {text} Ships have to wait outside it."
    place = page.index("house" if taken == "-\n" else "Strand")
    source = SourceText("a.pdf", "1", ("No break.", page), True, "a.pdf", breaks=((1, 3, "-\n"), (2, place, taken)))
    context = build_context(tokenizer, load_template(tokenizer), [source])
    asked = np.flatnonzero((context.page == 2) & (context.char_start >= place) & (context.char_start < place + 12))
    (citation,) = cite([attribution(asked)], context, tokenizer, top=1, floor=0.05)
    assert citation.quote == quote
    assert citation.as_read == citation.text == " ".join(text.split())
    (before,) = cite([attribution(np.flatnonzero(context.page == 2)[:3])], context, tokenizer, top=1, floor=0.05)
    assert (before.quote, before.text) == ("The harbour opens at six.", "")


@pytest.fixture(scope="module")
def at(context: Context) -> Callable[..., np.ndarray]:
    """Positions of the tokens that spell some words of a page."""

    def find(document: int, page: int, words: str) -> np.ndarray:
        start = PAGES[page - 1].index(words)
        inside = (context.char_end > start) & (context.char_start < start + len(words))
        return np.flatnonzero(inside & (context.document == document) & (context.page == page))

    return find


def attribution(positions: np.ndarray, share: float = 0.8, local: float = 0.0, own: float = 0.1) -> TokenAttribution:
    shares = np.full(positions.shape, share / max(1, positions.shape[0]), dtype=np.float32)
    return TokenAttribution(positions, shares, 1 - share - local - own, local, own)


def test_a_citation_is_the_sentence_around_what_was_attended(
    context: Context, tokenizer: Tokenizer, at: Callable[..., np.ndarray]
) -> None:
    (citation,) = cite([attribution(at(0, 1, "Odile Farrant"))], context, tokenizer, top=5, floor=0.05)
    assert (citation.file, citation.page, citation.paged) == ("a.pdf", 1, True)
    assert citation.quote == "The harbour master is Odile Farrant."
    assert citation.share == pytest.approx(1.0)
    assert tokenizer.decode(context.token_ids[citation.start : citation.end].tolist()).strip() == citation.quote
    assert citation.place == "a.pdf p. 1"


def test_a_page_is_named_as_viewers_name_it_beside_its_number(tokenizer: Tokenizer) -> None:
    source = SourceText("a.pdf", "1", PAGES, True, "a.pdf", labels=("1", "ii"))
    labelled = build_context(tokenizer, load_template(tokenizer), [source])
    places = {}
    for page in (1, 2):
        (citation, *_) = cite([attribution(np.flatnonzero(labelled.page == page))], labelled, tokenizer, top=1, floor=0.0)
        places[citation.page, citation.label] = citation.place
    assert places == {(1, ""): "a.pdf p. 1", (2, "ii"): "a.pdf p. ii (page 2)"}


def test_citations_are_ordered_by_share_and_cut_at_top_and_floor(
    context: Context, tokenizer: Tokenizer, at: Callable[..., np.ndarray]
) -> None:
    steps = [
        attribution(at(0, 2, "nine metres"), 0.5),
        attribution(at(1, 1, "Odile"), 0.3),
        attribution(at(0, 1, "Ships"), 0.02),
    ]
    found = cite(steps, context, tokenizer, top=5, floor=0.05)
    assert [(citation.file, citation.page) for citation in found] == [("a.pdf", 2), ("b.txt", 1)]
    assert [round(citation.share, 2) for citation in found] == [0.61, 0.37]
    assert found[0].quote == "The depth at the quay is nine metres."
    assert found[1].place == "b.txt"
    assert len(cite(steps, context, tokenizer, top=1, floor=0.0)) == 1


def test_what_was_drawn_on_for_what_the_question_does_not_say_comes_first(
    context: Context, tokenizer: Tokenizer, at: Callable[..., np.ndarray]
) -> None:
    steps = [
        attribution(at(1, 1, "Odile"), 0.3),
        attribution(at(0, 2, "nine metres"), 0.5),
        attribution(at(0, 2, "nine metres"), 0.5),
    ]
    by_share, in_order = (cite(steps, context, tokenizer, top=5, floor=0.05, telling=steps[:count]) for count in (0, 1))
    assert [citation.file for citation in by_share] == ["a.pdf", "b.txt"]
    assert in_order == by_share[::-1]
    assert cite(steps, context, tokenizer, top=1, floor=0.0, telling=steps[:1]) == in_order[:1]


def test_the_template_headers_and_breaks_are_no_evidence(context: Context, tokenizer: Tokenizer) -> None:
    outside = np.flatnonzero((context.page == 0) | (context.document < 0))
    assert weights_of([attribution(outside)], context)[0].size == 0
    assert cite([attribution(outside)], context, tokenizer, top=5, floor=0.0) == []
    assert support(attribution(outside, own=0.0), context) == 0.0
    assert cite([], context, tokenizer, top=5, floor=0.0) == []


def test_support_is_weak_where_documents_have_less_than_half(context: Context, at: Callable[..., np.ndarray]) -> None:
    places = at(0, 1, "Odile")
    assert not is_weak(attribution(places, 0.4, own=0.1), context)  # sinks took the other half, and are left out
    assert is_weak(attribution(places, 0.3, local=0.2, own=0.3), context)
    assert is_weak(attribution(places, 0.01, own=0.0), context)  # all of it sinks
