"""Stories and questions in FairytaleQA's files, turned into what `tscli ingest` and `tscli eval questions` read."""

from __future__ import annotations

from pathlib import Path

from tscli.evaluation import read_questions
from tscli.evaluation.fairytaleqa import convert

STORY = 'section,text\n1,"A miller had\nthree sons."\n2,The youngest got the cat.\n'
QUESTIONS = (
    "question_id,question,ex-or-im1,answer1,answer2,answer3,ex-or-im2,answer4,answer5,answer6\n"
    "1,Who had three sons?,explicit,a miller,,,explicit,the miller,a miller,\n"
    "2,Why was he sad?,implicit,he got a cat,,,implicit,,,\n"
)


def test_explicit_questions_come_with_all_their_answers(tmp_path: Path) -> None:
    for folder, name, text in (("section-stories", "cat-story.csv", STORY), ("questions", "cat-questions.csv", QUESTIONS)):
        (tmp_path / folder / "val").mkdir(parents=True)
        (tmp_path / folder / "val" / name).write_text(text)
    assert convert(tmp_path, tmp_path / "out", "val") == (1, 1)
    assert (tmp_path / "out/documents/cat.txt").read_text() == "A miller had\nthree sons.\n\nThe youngest got the cat.\n"
    (question,) = read_questions(tmp_path / "out/questions.jsonl")
    assert (question.answer, question.more) == ("a miller", ("the miller",))
    assert (question.file, question.page, question.kind) == ("documents/cat.txt", 1, "explicit")
