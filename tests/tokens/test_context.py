from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tscli import reader
from tscli.errors import UsageError
from tscli.tokens import Context, SourceText, Tokenizer, build_context, load_template, load_tokenizer, parse_count

TOKENIZER: Tokenizer = load_tokenizer(str(reader.path()))
TEMPLATE = load_template(TOKENIZER)


def source(name: str, *pages: str) -> SourceText:
    return SourceText(name, f"sha-{name}-{hash(pages)}", tuple(pages), True, title=name)


def build(*sources: SourceText, **options: object) -> Context:
    return build_context(TOKENIZER, TEMPLATE, sources, **options)  # type: ignore[arg-type]


def test_the_context_is_prefix_headers_pages_and_breaks() -> None:
    context = build(source("a.pdf", "First page.", "", "Third page."), source("b.txt", "Other."))
    text = TOKENIZER.decode(context.token_ids.tolist(), special=True)
    assert text == "<bos># a.pdf\n\nFirst page.\n\nThird page.\n\n# b.txt\n\nOther.\n\n"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(max_size=40), min_size=1, max_size=3), min_size=1, max_size=3))
def test_every_token_points_into_the_text_that_it_came_from(documents: list[list[str]]) -> None:
    clean = [[page.encode("utf-8", "replace").decode() for page in pages] for pages in documents]
    context = build(*(source(f"{number}.txt", *pages) for number, pages in enumerate(clean)))
    seen: dict[tuple[int, int], set[int]] = {}
    for position in range(context.token_ids.shape[0]):
        place = context.locate(position)
        if place is None or place.page == 0:
            continue
        document = int(context.document[position])
        assert 0 <= place.char_start < place.char_end <= len(clean[document][place.page - 1])
        seen.setdefault((document, place.page), set()).update(range(place.char_start, place.char_end))
    for number, pages in enumerate(clean):
        for page, text in enumerate(pages, start=1):
            assert seen.get((number, page), set()) == set(range(len(text)))


def test_a_document_never_disturbs_the_tokens_before_it() -> None:
    short = build(source("a", "One text."))
    long = build(source("a", "One text."), source("b", " and more"))
    assert np.array_equal(long.token_ids[: short.token_ids.shape[0]], short.token_ids)


def test_known_documents_are_taken_over_without_their_text() -> None:
    first = build(source("a", "One text.", "Two."), source("b", "Other."))
    kept = [SourceText(d.path, d.sha256, None, True, title=d.title) for d in first.documents]
    again = build(kept[1], kept[0], reuse=first)
    swapped = build(source("b", "Other."), source("a", "One text.", "Two."))
    assert np.array_equal(again.token_ids, swapped.token_ids)
    assert np.array_equal(again.page, swapped.page)
    assert [d.num_pages for d in again.documents] == [1, 2]


def test_over_the_budget_is_an_error_that_says_by_how_much() -> None:
    total = build(source("a", "word " * 500)).token_ids.shape[0]
    assert build(source("a", "word " * 500), max_tokens=total).token_ids.shape[0] == total
    with pytest.raises(UsageError, match=f"{total:,} tokens, 1 more than"):
        build(source("a", "word " * 500), max_tokens=total - 1)


@pytest.mark.parametrize(
    ("text", "count"), [("256k", 262144), ("1m", 1048576), ("4096", 4096), ("1.5K", 1536), ("1,000", 1000)]
)
def test_counts_are_read_as_people_write_them(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "k", "-4", "0", "1.3", "12q", "many"])
def test_other_counts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="number of tokens"):
        parse_count(text)
