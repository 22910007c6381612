"""Facts hidden in books, as files: `python -m tscli.evaluation.needles --haystack BOOKS --tokens N --out DIR`.

The same 40 facts (by the seed) at evenly spread depths of so many tokens of the folder's books; then
`tscli ingest DIR/documents` and `tscli eval questions DIR/questions.jsonl`. A book is a document; a million tokens need no
more memory than a library takes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from tscli.documents import load
from tscli.errors import UsageError
from tscli.evaluation.exam import TOKENS_A_WORD
from tscli.evaluation.tasks import needles
from tscli.tokens.counts import parse_count
from tscli.tokens.sentences import sentence_spans

TASK = "book-facts"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--haystack", type=Path, required=True, help="folder with books, used in the order of their names")
    parser.add_argument("--tokens", type=parse_count, required=True, help="approximate number of tokens, such as 8k or 1m")
    parser.add_argument("--out", type=Path, required=True, help="folder to write documents/ and questions.jsonl to")
    parser.add_argument("--facts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    count = hide(args.haystack, args.out, args.tokens, args.facts, args.seed)
    print(f"{count} documents, {args.facts} questions in {args.out}")


def hide(haystack: Path, out: Path, num_tokens: int, num_facts: int, seed: int) -> int:
    """Write the documents and questions; how many documents. UsageError where the books are too short."""
    exam = needles(Random(seed), [TASK], num_facts)
    books = _books(haystack, int(num_tokens / TOKENS_A_WORD))
    total = sum(len(sentences) for _, sentences in books)
    places = {round(needle.depth * total): needle.text for needle in exam.needles}
    (out / "documents").mkdir(parents=True, exist_ok=True)
    at, where = 0, dict[str, str]()
    for name, sentences in books:
        text = ""
        for sentence in sentences:
            if at in places:
                where[places[at]] = name
                text = f"{text.rstrip(' ')} {places[at]} "
            text += sentence
            at += 1
        (out / "documents" / name).write_text(text + "\n", encoding="utf-8")
    with (out / "questions.jsonl").open("w", encoding="utf-8") as file:
        for needle, item in zip(exam.needles, exam.items, strict=True):
            line = {
                "question": item.question,
                "answer": list(item.wanted),
                "file": f"documents/{where[needle.text]}",
                "page": 1,
            }
            file.write(json.dumps({**line, "kind": TASK}, ensure_ascii=False) + "\n")
    return len(books)


def _books(haystack: Path, num_words: int) -> list[tuple[str, list[str]]]:
    """Name and sentences of as many books as it takes, the last one cut."""
    found, left = list[tuple[str, list[str]]](), num_words
    for document in load([haystack]).documents:
        text = "\n\n".join(document.pages)
        kept = list[str]()
        for start, end in sentence_spans(text):
            words = len(text[start:end].split())
            if words > left:
                left = 0
                break
            kept.append(text[start:end])
            left -= words
        found.append((f"{Path(document.path).stem[:60]}.txt", kept))
        if not left:
            return found
    raise UsageError(
        f"{haystack}: the books have {num_words - left:,} words, {num_words:,} are needed; add some, or ask for fewer tokens"
    )


if __name__ == "__main__":
    main()
