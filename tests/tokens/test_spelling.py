"""The text of cached tokens and its sentences, from a tokenizer whose tokens may be parts of a character."""

from __future__ import annotations

import numpy as np
import pytest

from tscli import reader
from tscli.tokens import Context, SourceText, Tokenizer, build_context, load_template, load_tokenizer, spell

PAGES = (
    "The harbour opens at six. The harbour master is Odile Farrant. Ships have to wait outside it.",
    "Résumé of the naïve pilot: “Wren” 😀 sings. The depth at the quay is nine metres.",
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(str(reader.path()))


@pytest.fixture(scope="module")
def context(tokenizer: Tokenizer) -> Context:
    return build_context(tokenizer, load_template(tokenizer), [SourceText("a.pdf", "1", PAGES, True, "a.pdf")])


def test_text_is_spelled_alike_with_and_without_known_characters(context: Context, tokenizer: Tokenizer) -> None:
    tokens = np.flatnonzero((context.document == 0) & (context.page == 2))
    known = spell(tokens, context, tokenizer)
    shifted = Context(
        context.token_ids, context.document, context.page, context.char_start, context.char_end + 1, context.documents
    )
    streamed = spell(tokens, shifted, tokenizer)
    assert known.text == streamed.text == PAGES[1]
    whole = known.bounds[:-1] != known.bounds[1:]
    ascii_only = np.array([PAGES[1][place].isascii() for place in known.bounds[:-1]])
    assert (known.bounds[:-1] == streamed.bounds[:-1])[whole & ascii_only].all()


def test_each_token_belongs_to_the_sentence_of_its_first_visible_character(context: Context, tokenizer: Tokenizer) -> None:
    tokens = np.flatnonzero(context.page == 1)
    spelled = spell(tokens, context, tokenizer)
    spans, owner = spelled.sentences()
    assert [spelled.text[start:end].strip() for start, end in spans] == [f"{part}." for part in PAGES[0][:-1].split(". ")]
    assert len(owner) == len(tokens)
    assert (np.diff(owner) >= 0).all()
    said = [tokenizer.decode(context.token_ids[tokens[owner == number]].tolist()) for number in range(len(spans))]
    assert [text.strip() for text in said] == [spelled.text[start:end].strip() for start, end in spans]


def test_tokens_of_several_pages_are_spelled_together(context: Context, tokenizer: Tokenizer) -> None:
    document = context.documents[0]
    spelled = spell(np.arange(document.token_start, document.token_end), context, tokenizer)
    assert all(page in spelled.text for page in PAGES)
    place = spelled.text.index("The depth")
    token = int(np.searchsorted(spelled.bounds, place, side="right")) - 1
    assert int(context.page[document.token_start + token]) == 2
    spans, owner = spelled.sentences()
    assert spelled.text[slice(*spans[owner[token]])].startswith("The depth at the quay")
