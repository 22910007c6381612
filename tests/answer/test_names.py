"""Names that a question has and the documents have not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tscli.answer.names import another_named, missing_names, names_of, phrases_of, places_of
from tscli.tokens import SourceText, build_context, load_template, load_tokenizer

TEXT = 'The keeper of Marrow Point is Odile Farrant. "Brannoc," she said, was BUILT BY O\'Malley in Tarn-\nmere.'


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Who is Odile Farrant?", ["Odile", "Farrant"]),
        ("Odile went where?", []),  # the first word is a capital anyway
        ("What does NASA say of Dr No and the TCP port?", []),
        ("Where is Thornbury’s bell, and O'Malley's and Thornbury's?", ["Thornbury", "O'Malley"]),
        ("Wo ist Ägir?", ["Ägir"]),
        ("I have lost my card. Whom do I call? Is it Wren?", ["Wren"]),  # each sentence's first word is a capital anyway
        ("Where do I find Dr. Ockwick?", ["Ockwick"]),
        ("", []),
    ],
)
def test_names_are_capitalised_words_behind_a_sentence_s_first(question: str, names: list[str]) -> None:
    assert names_of(question) == names


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("Who is Odile Farrant of Marrow Point?", []),
        ("Who was Brannoc?", []),  # stands behind a quotation mark
        ("By whom was the Built thing made?", []),  # stands in capitals
        ("What did O'Malley build?", []),
        ("Who is Odile Farrow?", ["Farrow"]),
        ("Is Farr at Marrow?", []),  # a part of a word counts as there: it only means no refusal
        ("Who is Odile Ockwick of Bexwold?", ["Ockwick", "Bexwold"]),
    ],
)
def test_only_names_that_stand_nowhere_are_missing(small_model: Path, question: str, missing: list[str]) -> None:
    tokenizer = load_tokenizer(str(small_model))
    source = SourceText("a.txt", "1", (TEXT,), False, "a.txt")
    context = build_context(tokenizer, load_template(tokenizer), [source])
    text = tokenizer.decode(context.token_ids.tolist()).casefold()
    assert missing_names(question, context, tokenizer, lambda: text) == missing


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("The keeper of Rudstow Lodge, Wanda Crowgate, plays.", ["Rudstow Lodge", "Wanda Crowgate"]),
        ("Isaac Pemlock keeps it.", ["Isaac Pemlock", "Pemlock"]),  # the first word may be of the name
        ("The Black Hare sails.", ["The Black Hare", "Black Hare"]),  # or not
        ("Isaac keeps it, Wren's dog and Bo too.", ["Wren"]),
        ("a letter to Wren and Bob Lee's dog, Wren", ["Wren", "Bob Lee"]),
        ("so says NASA", []),
        ("", []),
    ],
)
def test_names_of_several_words_are_one(sentence: str, names: list[str]) -> None:
    assert phrases_of(sentence) == names


def test_a_name_is_found_wherever_it_stands(small_model: Path) -> None:
    tokenizer = load_tokenizer(str(small_model))
    text = "Odile Farrant came. Then Odile left; (Odile) was glad."
    context = build_context(tokenizer, load_template(tokenizer), [SourceText("a.txt", "a", (text,), False, "a.txt")])
    places = places_of("Odile", context, tokenizer)
    assert [int(context.char_start[place]) for place in places] == sorted(int(context.char_start[place]) for place in places)
    assert len(places) >= 2
    assert all("Odile".startswith(tokenizer.decode([int(context.token_ids[place])]).strip()) for place in places)
    assert not places_of("Ockwick", context, tokenizer).size


@pytest.mark.parametrize(
    ("asked", "text", "another"),
    [
        ("Tolcombe Meadows", "The warden of Tolstow Meadows is Judith Whithart.", "Tolstow Meadows"),
        ("Tolcombe Meadows", "Judith Whithart is the warden.", ""),
        ("Tolcombe Meadows", "The warden of Tolstow Meadows has been in tolcombe meadows.", None),  # in any case
        ("Tolcombe Meadows", "Beside Tolstow Meadows lie the Meadows, and to the south the marsh.", None),  # a part of it
        ("Tolcombe Meadows", "The Meadows lie to the south, but the marsh does not.", None),  # "the" is of no name
        ("Northern Otter", "The Black Otter lies at anchor. Under the bridge is the other.", "Black Otter"),
        ("Northern Otter", "Black Otter is 45 metres long.", "Black Otter"),
        ("Odile Farrant", "Odile's boat sank.", None),
        ("Odile Farrant", "Bo Farrant's boat sank.", "Bo Farrant"),
        ("Anny Kareniny", "Anna Karenina was there.", None),  # inflected
        ("Odile Farrant", "ODILE FARRANT sank.", None),
        ("Murmur Goose Egg", "Then Murmur Goose-Egg went, and Murmur came back without a murmur.", None),  # also a word
        ("Odile Farrant", "", ""),
    ],
)
def test_another_is_named_like_what_is_asked_for(asked: str, text: str, another: str | None) -> None:
    assert another_named([asked], text) == another


def test_any_of_several_names_will_do() -> None:
    assert another_named(["Ockwick", "Tolcombe Meadows"], "Tolstow Meadows is near Ockwick.") is None
    assert another_named([], "Tolstow Meadows is near Ockwick.") == ""
