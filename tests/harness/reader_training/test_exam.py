"""The exam at length: documents that hold the answers, questions that `tscli eval` can read."""

import json
from pathlib import Path

from tests.harness.reader_training import exam
from tests.harness.reader_training.test_corpus import corpus


def test_the_answers_stand_in_the_documents_that_the_questions_name(tmp_path: Path) -> None:
    exam.write(corpus(held_out=True), tmp_path, num_tokens=9_000, num_questions=20)
    lines = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == 20 * ["lookup"] + 4 * ["absent"]
    assert all(line["answer"] is line["file"] is None for line in lines[20:])
    assert len(list((tmp_path / "documents").iterdir())) >= 3
    found = [
        " ".join(line["answer"].split()) in " ".join((tmp_path / line["file"]).read_text().split()).replace("- ", "-")
        for line in lines[:20]
    ]
    assert sum(found) >= 18  # wrapped lines break a long word now and then


def test_the_same_seed_gives_the_same_exam(tmp_path: Path) -> None:
    for name in "ab":
        exam.write(corpus(4, held_out=True), tmp_path / name, num_tokens=3_000, num_questions=5)
    assert (tmp_path / "a/questions.jsonl").read_text() == (tmp_path / "b/questions.jsonl").read_text()


def test_a_question_of_two_documents_names_neither_the_person_nor_what_stands_elsewhere(tmp_path: Path) -> None:
    exam.write(corpus(held_out=True), tmp_path / "plain", num_tokens=6_000, num_questions=5)
    exam.write(corpus(held_out=True), tmp_path / "pairs", num_tokens=6_000, num_questions=5, num_pairs=4)
    plain, lines = (
        [json.loads(line) for line in (tmp_path / name / "questions.jsonl").read_text().splitlines()]
        for name in ("plain", "pairs")
    )
    assert lines[: len(plain)] == plain  # pairs come on top
    pairs = lines[len(plain) :]
    triples = [pairs[i : i + 3] for i in range(0, len(pairs), 3)]
    assert [[line["kind"] for line in triple] for triple in triples] == 4 * [["two", "half", "half"]]
    for both, holder, about in triples:
        texts = {line["file"]: (tmp_path / "pairs" / line["file"]).read_text() for line in (holder, about)}
        person, answer = holder["answer"], about["answer"]
        assert (both["answer"], both["file"], both["through"]) == (answer, about["file"], holder["file"])
        assert len(texts) == 2  # two documents
        assert person not in both["question"]
        assert person in about["question"]
        assert all(person in text for text in texts.values())
        assert answer in texts[about["file"]]
