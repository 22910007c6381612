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
    assert kinds["reworded"] >= 3
    assert set(kinds) == {"lookup", "reworded", "absent"}
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)


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
