"""FairytaleQA as documents and questions: `python -m tscli.evaluation.fairytaleqa --data DIR --out DIR [--split val]`.

Its explicit questions (Xu et al. 2022), whose answers stand in the story; each with all its reference answers. Then
`tscli ingest DIR/documents` and `tscli eval questions DIR/questions.jsonl --baselines`.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with section-stories/ and questions/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write documents/ and questions.jsonl to")
    parser.add_argument("--split", default="val")
    args = parser.parse_args()
    stories, questions = convert(args.data, args.out, args.split)
    print(f"{stories} stories, {questions} questions in {args.out}")


def convert(data: Path, out: Path, split: str) -> tuple[int, int]:
    """Write the split's stories and explicit questions; how many there are of each."""
    (out / "documents").mkdir(parents=True, exist_ok=True)
    lines, stories = list[dict[str, Any]](), 0
    for file in sorted((data / "section-stories" / split).glob("*-story.csv")):
        name = file.name.removesuffix("-story.csv")
        text = "\n\n".join(row["text"].strip() for row in _rows(file))
        (out / "documents" / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
        stories += 1
        asked = data / "questions" / split / f"{name}-questions.csv"
        lines += [_line(row, f"documents/{name}.txt") for row in _rows(asked) if row["ex-or-im1"] == "explicit"]
    with (out / "questions.jsonl").open("w", encoding="utf-8") as questions:
        questions.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return stories, len(lines)


def _line(row: dict[str, str], file: str) -> dict[str, Any]:
    answers = [row[f"answer{n}"].strip() for n in range(1, 7)]
    right = list(dict.fromkeys(answer for answer in answers if answer))
    return {"question": row["question"].strip(), "answer": right, "file": file, "page": 1, "kind": "explicit"}


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


if __name__ == "__main__":
    main()
