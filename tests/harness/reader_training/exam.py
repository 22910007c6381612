"""Write an exam at length: `python -m tests.harness.reader_training.exam --data DIR --out DIR [--questions 100] [--pairs 0]`.

Documents of real prose with invented facts in them, in names and wordings that training never sees, and the questions to
them in the form that `tscli eval` reads. Settings are chosen by such exams, so that samples/ stays a test.

Of a pair of facts one document says who holds an office, another something about that person. A question of kind "two" asks
for the latter by the office alone; its answer, and the file and page that are looked for among the sources, are the second
document's, "through" is the first. "half": each of the two facts, asked by itself.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.harness.reader_training.corpus import Corpus, encoder, load_sources
from tests.harness.reader_training.facts import Fact, fact, question, relations_by_kind
from tests.harness.reader_training.surroundings import draw_facts, sentence
from tscli import reader

FACTS_A_PAGE = 8
ABSENT = 5  # one question of so many has no answer in the documents
PAGE_CHARS = 6_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with books/, peps/, fairytaleqa/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write documents/ and questions.jsonl to")
    parser.add_argument("--tokens", type=int, default=40_000, help="about so many tokens of the reader's")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=0, help="so many questions that need two documents, and both halves")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    corpus = Corpus(load_sources(args.data), encoder(reader.path() / "tokenizer.json"), 512, args.seed, held_out=True)
    write(corpus, args.out, args.tokens, args.questions, args.pairs)


def write(corpus: Corpus, folder: Path, num_tokens: int, num_questions: int, num_pairs: int = 0) -> None:
    """Pages until there are that many tokens, then questions about facts of random pages, of none, and of two."""
    documents = folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    pages, asked, absent, total = list[str](), [], list[str](), 0
    while total < num_tokens:
        text, facts = corpus.page(FACTS_A_PAGE, PAGE_CHARS)
        total += len(corpus.encode(text).ids)
        asked += [(fact, _name(len(pages))) for fact in facts]
        pages.append(text)
        absent += [corpus.absent(facts).question for _ in facts]
    lines = [
        _line(corpus.ask(fact), fact.value, file, "lookup")
        for fact, file in corpus.rng.sample(asked, min(num_questions, len(asked)))
    ]
    missing = corpus.rng.sample(absent, len(lines) // ABSENT)
    lines += [_line(q, None, None, "absent") for q in missing]
    lines += [line for _ in range(num_pairs) for line in _pair(corpus, pages)]
    for number, text in enumerate(pages):
        (folder / _name(number)).write_text(text, encoding="utf-8")
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _pair(corpus: Corpus, pages: list[str]) -> list[dict[str, Any]]:
    """Two facts set into two pages, in place; the question that needs both, and the question to each."""
    rng = corpus.rng
    holder = _office(corpus, "".join(pages))
    about = fact(corpus.names, "person", holder.value, rng.choice(relations_by_kind(held_out=True)["person"]))
    about = replace(about, former="")
    numbers = rng.sample(range(len(pages)), 2)
    for number, item in zip(numbers, (holder, about), strict=True):
        blocks = pages[number].rstrip().split("\n\n")
        blocks.insert(rng.randint(0, len(blocks)), sentence(rng, item))
        pages[number] = "\n\n".join(blocks) + "\n\n"
    through, file = map(_name, numbers)
    by_office = question(rng, replace(about, entity=f"the {holder.noun} of {holder.entity}"))
    return [
        {**_line(by_office, about.value, file, "two"), "through": through},
        _line(question(rng, holder), holder.value, through, "half"),
        _line(question(rng, about), about.value, file, "half"),
    ]


def _office(corpus: Corpus, text: str) -> Fact:
    """Who holds a named office of something, neither of which the text speaks of."""
    while True:
        for found in draw_facts(corpus.names, FACTS_A_PAGE):
            named = found.relation.value == "person" and found.noun in found.relation.nouns and found.kind != "person"
            if named and found.noun and found.entity not in text and found.value not in text:
                return replace(found, former="")


def _line(asked: str, answer: str | None, file: str | None, kind: str) -> dict[str, Any]:
    return {"question": asked, "answer": answer, "file": file, "page": 1 if file else None, "kind": kind}


def _name(number: int) -> str:
    return f"documents/page-{number:04}.txt"


if __name__ == "__main__":
    main()
