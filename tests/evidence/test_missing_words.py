"""Words of a question that the documents do not have: found by beginnings, and only where they are content."""

from __future__ import annotations

import pytest

from tscli import reader
from tscli.evidence.missing_words import missing_words
from tscli.tokens import Context, SourceText, Tokenizer, build_context, load_template, load_tokenizer

TEXT = "The lighthouse at Marrow Point was built in 1874. Tickets are sold at the quay, and the ferry sails at noon. "


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(str(reader.path()))


@pytest.fixture(scope="module")
def context(tokenizer: Tokenizer) -> Context:
    sources = [SourceText("a.txt", "a.txt", (TEXT * 8,), False, "a.txt")]
    return build_context(tokenizer, load_template(tokenizer), sources)


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("When was the lighthouse built?", ()),
        ("When was the airport built?", ("airport",)),
        ("WHEN WAS THE LIGHTHOUSE BUILT?", ()),
        ("How much does a ticket for the cinema cost?", ("cinema", "cost")),
        ("Where does one buy tickets, and at which cinema?", ("cinema",)),
        ("Who is the mayor of Roskovice?", ("mayor",)),  # a name is refused, not noted
        ("Please describe and summarise what Point has.", ()),
        ("Wann fährt die Fähre?", ("wann", "fährt")),  # "Fähre" may be a name
        ("灯台はいつ建てられましたか", ()),
        ("", ()),
    ],
)
def test_words_that_stand_nowhere_are_told(
    question: str, missing: tuple[str, ...], context: Context, tokenizer: Tokenizer
) -> None:
    def text() -> str:
        return tokenizer.decode(context.token_ids.tolist()).casefold()

    assert missing_words(question, context, tokenizer, text) == missing


def test_the_text_is_not_asked_for_where_all_words_stand_there(context: Context, tokenizer: Tokenizer) -> None:
    def text() -> str:
        raise AssertionError("every word stands in the context as it is asked for")

    assert missing_words("Where was the lighthouse built?", context, tokenizer, text) == ()
