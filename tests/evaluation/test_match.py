"""Answers in sentences, judged by hand and by the rule: what holds the wanted answer alone is right."""

from __future__ import annotations

import pytest

from tscli.evaluation.match import is_right, rivals
from tscli.evaluation.score import is_refusal

WHO, FARRANT = "Who is the harbour master?", "Odile Farrant"
LONG, HIVES = "How long is the breakwater?", "How many hives are there in the vicarage garden?"
BUILT = "When was the lighthouse at Marrow Point built?"

RIGHT = [
    (FARRANT, FARRANT, WHO),
    ("The harbour master is Odile Farrant, who took over in 2003.", FARRANT, WHO),
    ("The harbour master is Odile Farrant. Her office is on the first floor of the Customs House.", FARRANT, WHO),
    ("ODILE FARRANT", FARRANT, WHO),
    ("According to the Skerrow Harbour Handbook, it is Odile Farrant.", FARRANT, WHO),
    ("Mrs Odile Farrant has been harbour master since Monday, 3 May.", FARRANT, WHO),
    ("Answer: Odile Farrant", FARRANT, WHO),
    ("It was built in 1874, 38 metres high.", "1874", BUILT),
    ("The lighthouse at Marrow Point was built on 5 August 1874.", "1874", BUILT),
    ("The breakwater is 640 metres long and was finished in 1887.", "640 metres", LONG),
    ("640 metres or so", "640 metres", LONG),
    ("There are 14 hives, which stand along 3 walls.", "14", HIVES),
    ("It weighs 1340 kilograms.", "1,340 kilograms", "How much does the anchor weigh?"),
    ("Backups start at 02:30 and are kept for 90 days.", "02:30", "What time do the nightly backups start?"),
    ("The rack R-204 stands in room 3.", "R-204", "What is the number of the rack in the Customs House?"),
    ("Aurelia Stroud's largest painting is called The Herring Moon.", "The Herring Moon", "Which is Aurelia Stroud's largest?"),
    ("The twin town of Skerrow is Roskovice.", "Roskovice", "What is the twin town of Skerrow?"),
    ("A heron caused it, and now there is a net.", "heron", "Which bird caused the outage?"),
    ("There are fourteen hives.", "14", HIVES),
    ("There are fourteen hives along 3 walls.", "14 hives", HIVES),
    ("Fettes drank 5 glasses of rum.", "five", "How many glasses of rum did Fettes drink?"),
    ("Theo Underden was born in Lusby.", "Lusby", "Where was the keeper of the lighthouse born?"),
    ("The harbour master, who was born in Lusby, is Odile Farrant.", FARRANT, WHO),
    ("His name is Cuthbert Lowe.", "Cuthbert", "What is the first name of the policeman?"),
]  # fmt: skip
WRONG = [
    ("Odile Farrant or Tobias Wren", FARRANT, WHO),
    ("Odile Farrant and Tobias Wren.", FARRANT, WHO),
    ("The harbour master is Odile Farrant. The senior pilot is Tobias Wren.", FARRANT, WHO),
    ("Tobias Wren, Odile Farrant, Bram Oosterling, Ludmila Hartog", FARRANT, WHO),
    ("The harbour master is not Odile Farrant.", FARRANT, WHO),
    ("Odile Farranti", FARRANT, WHO),
    ("", FARRANT, WHO),
    ("It was built in 1874 or 1878.", "1874", BUILT),
    ("It was begun in 1858 and built in 1874.", "1874", BUILT),
    ("The breakwater is 640 metres long, or 720 metres.", "640 metres", LONG),
    ("The breakwater is 640 metres or 720.", "640 metres", LONG),
    ("The depth is 72 metres.", "7.2 metres", "What is the depth at the North Quay?"),
    ("There are 140 hives.", "14", HIVES),
    ("12 or 14 hives", "14", HIVES),
    ("There are 5 or 6 hives.", "five", HIVES),
    ("There are 15 hives.", "five", HIVES),
    ("There are forty hives.", "14", HIVES),
    ("R-204 and R-205", "R-204", "What is the number of the rack?"),
    ("Gardon and Lusby are where he was born, in Lusby.", "Lusby", "Where was the keeper of the lighthouse born?"),
    ("Theo Underden lives in Gardon. He was born in Lusby.", "Lusby", "Where was the keeper of the lighthouse born?"),
    ("Tobias Wren is the pilot of Odile Farrant.", FARRANT, WHO),
    ("Tobias Wren sits near Odile Farrant.", FARRANT, WHO),
    ("Ruth or Jezebel", "Jezebel", "Which hive is the fiercest?"),
    ("Ruth and Jezebel", "Jezebel", "Which hive is the fiercest?"),
    ("It is made of oak or elm.", "oak", "Of what wood is the door?"),
    ("It is made of elm or oak.", "oak", "Of what wood is the door?"),
    ("The documents do not say who the harbour master is, only that Odile Farrant has an office.", FARRANT, WHO),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "wanted", "question"), RIGHT)
def test_an_answer_that_holds_the_wanted_one_alone_is_right(answer: str, wanted: str, question: str) -> None:
    assert rivals(answer, wanted, question) == []
    assert is_right(answer, wanted, question)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("The ticket costs £25.", "25 pounds"),
        ("It costs 25 pounds.", "£25"),
        ("They paid $1,200 for it.", "1,200 dollars"),
        ("The fair opens on February 16th.", "16 February"),
        ("On the 16th of February.", "February 16"),
        ("16 February 1874", "February 16, 1874"),
        ("It is 1.38 meters high.", "1.38 metres"),
        ("12 litres, in 3 kilometers", "12 liters"),
        ("Two kilometres", "2 kilometers"),
    ],
)
def test_money_and_dates_are_right_in_any_spelling(answer: str, wanted: str) -> None:
    assert is_right(answer, wanted, "What does it say?")


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("It costs £26.", "25 pounds"),
        ("It costs $25.", "25 pounds"),
        ("On February 17th.", "16 February"),
        ("16 March", "16 May"),
        ("It is 1.38 kilometers high.", "1.38 metres"),
    ],
)
def test_other_money_and_other_dates_are_wrong(answer: str, wanted: str) -> None:
    assert not is_right(answer, wanted, "What does it say?")


@pytest.mark.parametrize(("answer", "wanted", "question"), WRONG)
def test_an_answer_without_it_or_with_a_rival_is_wrong(answer: str, wanted: str, question: str) -> None:
    assert not is_right(answer, wanted, question)


@pytest.mark.parametrize(
    "answer",
    [
        "Not in the documents.",
        "The documents do not say.",
        "The documents don’t say when it was built.",
        "I could not find that in the text.",
        "I don't know.",
        "It is not mentioned in the passages.",
        "The name of the cat is not specified.",
        "There is no information about an airport.",
        "The provided context does not contain the password.",
        "I'm sorry, I am unable to find it.",
        "No mention is made of it.",
        "Unknown",
        "",
    ],
)
def test_refusals_are_known_in_sentences_too(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "The harbour master is Odile Farrant.",
        "The documents do not say, but it was probably built in 1874.",
        "He did not go in.",
        "The hat is not included.",
        "It does not contain sugar.",
        "None of the boats was lost.",
    ],
)
def test_an_answer_is_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)
