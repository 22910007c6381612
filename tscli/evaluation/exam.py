"""Write a blind exam in plain English: `python -m tscli.evaluation.exam --seed S --tokens N --out DIR [--lookups 60]
[--reworded 30] [--absent 30] [--two 15]`; then `tscli ingest DIR/documents` and `tscli eval questions DIR/questions.jsonl`.

Documents of several kinds about invented clubs, buildings, boats, fairs, firms, reserves and people. A subject stands in one
document, several of its facts close to each other, some with a value of the same kind beside them that answers nothing. No
fact is stated twice. Of every subject two things or more are left unsaid: what a third of the questions of kind "absent" asks
for; the others ask for subjects that are nowhere. A question of kind "two" names somebody by an office that one document
gives, and asks what another one says of them; "through" is the first. Strings and files only; a seed fixes all of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from tscli.errors import UsageError
from tscli.evaluation.exam_facts import Fact, ask, state
from tscli.evaluation.exam_names import Names
from tscli.evaluation.exam_prose import GENRES, Genre, filler
from tscli.evaluation.exam_relations import RELATIONS
from tscli.tokens.counts import parse_count

TOKENS_A_WORD = 1.26  # of SmolLM2
DOCUMENT_TOKENS = 4_000  # about so many a document, but never fewer than one of each genre
UNSAID = 2  # relations of its kind that are not stated of a subject
SPARE = 1.5  # facts stated for each that is asked for
DECOYS = {  # stand beside a fact and state nothing that is asked; {d} is a value of the same kind
    "person": ("{d} had been asked as well, and had said no.", "This pleased {d}.", "A card of thanks went to {d}."),
    "year": ("An earlier attempt had been given up in {d}.", "A flood in {d} changed little."),
    "money": ("Elsewhere {d} would be thought cheap.", "The umbrella stand alone had cost {d}."),
    "count": ("Strangers tend to guess {d}.", "In the next county they boast of {d}."),
    "place": ("The road to {d} was closed that week.", "A visitor from {d} did not believe it."),
    "inn": ("At the {d} there was singing.",),
    "date": ("The rehearsal is on {d}.",),
    "house": ("The hedge of {d} has grown over the path.",),
    "pet": ("The cat next door is called {d}.",),
}


@dataclass(frozen=True)
class Size:
    """How many questions of each kind."""

    lookups: int = 60
    reworded: int = 30
    absent: int = 30
    two: int = 15


@dataclass(frozen=True)
class Document:
    """A file that is to be written, and the facts in it, in groups that share a subject."""

    name: str
    genre: Genre
    groups: list[list[Fact]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--tokens", type=parse_count, required=True, help="approximate number of tokens")
    parser.add_argument("--out", type=Path, required=True, help="folder to write documents/ and questions.jsonl to")
    for name, count in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=count)
    args = parser.parse_args()
    size = Size(args.lookups, args.reworded, args.absent, args.two)
    write(args.out, args.seed, args.tokens, size)
    print(f"{sum(vars(size).values())} questions in {args.out}")


def write(folder: Path, seed: int, num_tokens: int, size: Size) -> None:
    """The documents and their questions; UsageError where so many questions need longer documents."""
    texts, lines = make(seed, num_tokens, size)
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def make(seed: int, num_tokens: int, size: Size) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The documents' texts by file, and the questions as `tscli eval` reads them."""
    rng = Random(seed)
    names = Names(rng)
    documents = _documents(rng, max(len(GENRES), num_tokens // DOCUMENT_TOKENS))
    asked = _stated(rng, names, documents, round(SPARE * (size.lookups + size.reworded)))
    lines = [_two(rng, names, documents) for _ in range(size.two)]
    facts = rng.sample([fact for fact, _ in asked], size.lookups + size.reworded)
    files = {id(fact): name for fact, name in asked}
    lines += [
        _line(ask(rng, fact.relation.questions, fact.subject), fact, files[id(fact)], "lookup")
        for fact in facts[: size.lookups]
    ]
    lines += [
        _line(ask(rng, fact.relation.reworded, fact.subject), fact, files[id(fact)], "reworded")
        for fact in facts[size.lookups :]
    ]
    lines += _absent(rng, names, [fact for document in documents for group in document.groups for fact in group], size.absent)
    room = num_tokens / TOKENS_A_WORD / len(documents)
    texts = {document.name: _text(rng, names, document, room) for document in documents}
    if sum(len(text.split()) for text in texts.values()) > 1.1 * num_tokens / TOKENS_A_WORD:
        raise UsageError(f"{num_tokens:,} tokens are too few for so many questions; allow more tokens, or ask fewer questions")
    return texts, [{"id": number, **line} for number, line in enumerate(lines, start=1)]


def _documents(rng: Random, count: int) -> list[Document]:
    found = []
    for number, genre in enumerate(islice(cycle(rng.sample(GENRES, len(GENRES))), count)):
        stem, ending = genre.file.split(".")
        found.append(Document(f"documents/{stem}-{number // len(GENRES) + 1}.{ending}", genre, []))
    return found


def _stated(rng: Random, names: Names, documents: Sequence[Document], count: int) -> list[tuple[Fact, str]]:
    """At least `count` facts, put into documents in turn, and in which."""
    kinds = sorted({relation.subject for relation in RELATIONS})
    places, found = cycle(rng.sample(documents, len(documents))), list[tuple[Fact, str]]()
    for kind in cycle(kinds):
        if len(found) >= count:
            return found
        own = [relation for relation in RELATIONS if relation.subject == kind]
        subject, document = names.subject(kind), next(places)
        group = [state(rng, relation, subject, names) for relation in rng.sample(own, len(own) - UNSAID)]
        document.groups.append(group)
        found += [(fact, document.name) for fact in group]
    return found


def _two(rng: Random, names: Names, documents: Sequence[Document]) -> dict[str, Any]:
    """Who holds an office, in one document, something about that person, in another; the question that needs both."""
    office = rng.choice([relation for relation in RELATIONS if relation.role])
    about = rng.choice([relation for relation in RELATIONS if relation.subject == "person"])
    holder = state(rng, office, names.subject(office.subject), names)
    told = state(rng, about, holder.value.text, names)
    first, second = rng.sample(documents, 2)
    first.groups.append([holder])
    second.groups.append([told])
    question = ask(rng, about.questions, office.role.format(s=holder.subject))
    return {**_line(question, told, second.name, "two"), "through": first.name}


def _absent(rng: Random, names: Names, facts: Sequence[Fact], count: int) -> list[dict[str, Any]]:
    """Questions without an answer: every other one about a subject of the documents, of which that is not said."""
    said = {(fact.subject, fact.relation.name) for fact in facts}
    kinds = {fact.subject: fact.relation.subject for fact in facts}
    unsaid = [(s, r) for s, kind in kinds.items() for r in RELATIONS if r.subject == kind and (s, r.name) not in said]
    chosen = rng.sample(unsaid, min(len(unsaid), (count + 1) // 2))
    others = [rng.choice(RELATIONS) for _ in range(count - len(chosen))]
    chosen += [(names.subject(relation.subject), relation) for relation in others]
    asked = [ask(rng, relation.questions, subject) for subject, relation in chosen]
    return [{"question": question, "answer": None, "file": None, "page": None, "kind": "absent"} for question in asked]


def _text(rng: Random, names: Names, document: Document, num_words: float) -> str:
    """The facts of each group in one or two paragraphs among others that say nothing, so many words or a few more."""
    sentences = filler(rng, document.genre)
    blocks = [list(islice(sentences, rng.randint(3, 6))) for _ in range(3)]
    for group in document.groups:
        halves = [group] if len(group) < 3 or rng.random() < 0.5 else [group[:2], group[2:]]
        for half in halves:
            block = list(islice(sentences, rng.randint(2, 4)))
            for fact in half:
                place = rng.randint(0, len(block))
                block[place:place] = [fact.statement, *_decoy(rng, names, fact)]
            blocks.append(block)
    written = sum(len(sentence.split()) for block in blocks for sentence in block)
    while written < num_words:
        blocks.append(list(islice(sentences, rng.randint(3, 7))))
        written += sum(len(sentence.split()) for sentence in blocks[-1])
    rng.shuffle(blocks)
    headings = cycle(document.genre.headings)
    parts = [f"{next(headings)}\n\n" * (number % 5 == 0) + " ".join(block) for number, block in enumerate(blocks)]
    return f"{document.genre.title}\n\n" + "\n\n".join(parts) + "\n"


def _decoy(rng: Random, names: Names, fact: Fact) -> list[str]:
    """A sentence with a value of the same kind that states nothing, beside two facts of five."""
    frames = DECOYS.get(fact.relation.value.partition(":")[0])
    if not frames or rng.random() > 0.4:
        return []
    return [rng.choice(frames).format(d=names.value(fact.relation.value).text)]


def _line(question: str, fact: Fact, file: str, kind: str) -> dict[str, Any]:
    return {"question": question, "answer": list(fact.value.answers), "file": file, "page": 1, "kind": kind}


if __name__ == "__main__":
    main()
