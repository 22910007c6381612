"""Write an exam at length: `python -m tscli.reader.exam --data DIR --out DIR [--tokens 40000] [--questions 100]`.

Documents of real prose with invented facts in them, in names and wordings that training never sees, and the questions to
them in the form that `tscli eval` reads. Settings are chosen by such exams, so that samples/ stays a test.
"""

import argparse
import json
from pathlib import Path

from tscli.reader.corpus import Corpus, encoder, load_sources

FACTS_A_PAGE = 8
ABSENT = 5  # one question of so many has no answer in the documents
PAGE_CHARS = 6_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with books/, peps/, fairytaleqa/")
    parser.add_argument("--out", type=Path, required=True, help="documents/ and questions.jsonl are written there")
    parser.add_argument("--tokens", type=int, default=40_000, help="about so many tokens of the reader's")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    corpus = Corpus(load_sources(args.data), encoder(Path(__file__).parent / "tokenizer.json"), 512, args.seed, held_out=True)
    write(corpus, args.out, args.tokens, args.questions)


def write(corpus: Corpus, folder: Path, num_tokens: int, num_questions: int) -> None:
    """Pages until there are that many tokens, then questions about facts of random pages and of none."""
    documents = folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    asked, absent, total = [], list[str](), 0
    while total < num_tokens:
        text, facts = corpus.page(FACTS_A_PAGE, PAGE_CHARS)
        total += len(corpus.encode(text).ids)
        name = f"page-{len(list(documents.iterdir())):04}.txt"
        (documents / name).write_text(text, encoding="utf-8")
        asked += [(fact, f"documents/{name}") for fact in facts]
        absent += [corpus.absent(facts).question for _ in facts]
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        lines = [
            {"question": corpus.ask(fact), "answer": fact.value, "file": document, "page": 1, "kind": "lookup"}
            for fact, document in corpus.rng.sample(asked, min(num_questions, len(asked)))
        ]
        missing = corpus.rng.sample(absent, len(lines) // ABSENT)
        lines += [{"question": q, "answer": None, "file": None, "page": None, "kind": "absent"} for q in missing]
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


if __name__ == "__main__":
    main()
