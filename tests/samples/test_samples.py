"""The samples are what their README says, and every answer stands where questions.jsonl has it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tscli import reader
from tscli.documents import load
from tscli.tokens import load_tokenizer

SAMPLES = Path(__file__).parents[2] / "samples"
QUESTIONS = [json.loads(line) for line in (SAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
LOADED = load([SAMPLES])
PAGES = {document.path: document.pages for document in LOADED.documents}
# Of each question that needs two documents: where the other one stands, and what it says that leads to the answer's page.
LEADS = {
    71: ("lighthouse-log.txt", 1, "Signe's brother, who is a surveyor", "surveyor"),
    72: ("harbour-handbook.pdf", 15, "Her crew are a baker, two teachers, a dentist, a roofer, the organist", "the organist"),
    73: ("harbour-handbook.pdf", 15, "The name of the lifeboat is Constance Avery", "lifeboat"),
    74: ("harbour-handbook.pdf", 15, "The coxswain is Henrike Solberg", "Henrike Solberg"),
    75: ("council-minutes.pdf", 6, "for the turbine is Sir Spins-a-Lot", "turbine"),
    76: ("harbour-handbook.pdf", 3, "a retired colonel on the hill who likes to report seals", "retired colonel on the hill"),
    77: ("rowing-club.txt", 1, "The singing was stopped at two by Sergeant Lowe", "Sergeant"),
    78: ("garden-almanac.txt", 1, "The seed library is in the reading room of the library", "reading room"),
    79: ("harbour-handbook.pdf", 15, "She lies in the boathouse", "boathouse"),
    80: ("lighthouse-log.txt", 1, "The first keeper was a Captain Elias Brandt", "Brandt"),
}
STOP = {"a", "an", "at", "by", "did", "does", "for", "from", "has", "have", "how", "in", "is", "it", "its", "much", "of", "on"}
STOP |= {"s", "that", "the", "to", "was", "what", "when", "where", "which", "who", "with"}


def test_every_file_is_read() -> None:
    assert LOADED.failures == ()
    assert len(LOADED.documents) == 20
    assert sum(document.paged for document in LOADED.documents) == 5
    assert max(len(document.pages) for document in LOADED.documents) == 21


def test_there_are_forty_thousand_tokens_and_a_page_without_text() -> None:
    tokenizer = load_tokenizer(str(reader.path()))
    total = sum(item.ids.size for pages in PAGES.values() for item in tokenizer.encode_text(pages))
    assert total >= 40_000
    assert [d.pages_without_text for d in LOADED.documents if d.pages_without_text] == [(3,)]


def test_two_columns_are_read_one_after_the_other() -> None:
    page = " ".join(PAGES["samples/tide-research.pdf"][1].split())
    assert "corrections. The largest constituent at Skerrow is M2" in page


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q["answer"]], ids=lambda q: f"{q['id']}")
def test_the_answer_stands_on_the_named_page(question: dict[str, object]) -> None:
    page = PAGES[str(question["file"])][int(str(question["page"])) - 1]
    answer = str(question["answer"])
    assert len(answer.split()) <= 5
    # Whole words: 14 does not stand in 140 or in 3.14.
    assert re.search(rf"(?<![\w.,]){re.escape(answer)}(?!\w|[.,]\d)", " ".join(page.split()))


def test_there_are_enough_questions_of_each_kind() -> None:
    kinds = Counter(question["kind"] for question in QUESTIONS)
    assert kinds["lookup"] >= 30
    assert kinds["absent"] >= 5
    assert kinds["reworded"] >= 20
    assert kinds["two"] == 10
    assert set(kinds) == {"lookup", "reworded", "absent", "two"}
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize(
    "question", [q for q in QUESTIONS if q["kind"] == "reworded" and q["id"] > 50], ids=lambda q: f"{q['id']}"
)
def test_a_reworded_question_shares_few_words_with_the_sentences_that_answer_it(question: dict[str, object]) -> None:
    page = " ".join(PAGES[str(question["file"])][int(str(question["page"])) - 1].split())
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", page) if str(question["answer"]) in part]
    asked = _words(str(question["question"]))
    assert sentences
    assert all(len(asked & _words(sentence)) <= 1 for sentence in sentences)


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q["kind"] == "two"], ids=lambda q: f"{q['id']}")
def test_a_question_of_two_documents_names_something_that_another_page_leads_from(question: dict[str, object]) -> None:
    file, number, words, lead = LEADS[int(str(question["id"]))]
    other, answers = PAGES[f"samples/{file}"], PAGES[str(question["file"])]
    assert (f"samples/{file}", number) != (question["file"], question["page"])
    assert words in " ".join(other[number - 1].split())
    assert lead in words
    assert lead in " ".join(answers[int(str(question["page"])) - 1].split())
    assert str(question["answer"]) not in words


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold())) - STOP


def test_no_two_questions_ask_for_the_same_fact() -> None:
    facts = Counter((q["file"], q["page"], q["answer"]) for q in QUESTIONS if q["answer"] and q["id"] != 41)
    assert max(facts.values()) == 1  # 41 asks for the fact of 14 in other words


def test_only_absent_questions_have_no_answer() -> None:
    for question in QUESTIONS:
        empty = [question[key] is None for key in ("answer", "file", "page")]
        assert empty == [question["kind"] == "absent"] * 3


def test_what_describes_the_collection_is_not_part_of_it() -> None:
    assert not {
        path for path in PAGES if path.endswith(("questions.jsonl", "README.md", "make_pdfs.py")) or "/sources/" in path
    }


def test_the_script_makes_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SAMPLES / "make_pdfs.py", tmp_path], check=True, capture_output=True)
    made = sorted(tmp_path.glob("*.pdf"))
    assert len(made) == 5
    for path in made:
        assert path.read_bytes() == (SAMPLES / path.name).read_bytes()
