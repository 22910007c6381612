"""The corpus: documents with facts and questions after them, as token sequences with a loss weight for each token.

Takes strings from `surroundings` and `facts`; knows the reader's format `<bos>documents<q>question<a> answer<eos>...`.
Knows nothing of models or training.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from tests.harness.reader_training import needles
from tests.harness.reader_training import surroundings as around
from tests.harness.reader_training.entities import Names
from tests.harness.reader_training.facts import Fact, former_question, question, unanswered
from tests.harness.reader_training.needles import REFUSAL
from tests.harness.reader_training.surroundings import Prose

BOS, ASK, ANSWER, EOS = 0, 1, 2, 3
PROSE_WEIGHT, QUESTION_WEIGHT, ANSWER_WEIGHT = 0.03, 0.03, 1.0
CLOZE = (
    'How does it go on: "{}"?', 'What comes after "{}"?', 'Complete the sentence: "{}"', 'What follows "{}"?', '"{}" ...?',
    "{} what?", 'Which words follow "{}"?', "{} ...", 'What does the text say after "{}"?',
)  # fmt: skip


class Encoded(Protocol):
    """What a fast tokenizer gives for a string: token ids, and the character range (start, end) of each."""

    @property
    def ids(self) -> list[int]: ...

    @property
    def offsets(self) -> list[tuple[int, int]]: ...


Encode = Callable[[str], Encoded]


def encoder(file: Path) -> Encode:
    """The tokenizer of a tokenizer.json, as the corpus uses it."""
    tokenizer = Tokenizer.from_file(str(file))

    def encode(text: str) -> Encoded:
        encoded: Encoded = tokenizer.encode(text, add_special_tokens=False)
        return encoded

    return encode


@dataclass(frozen=True)
class Turn:
    """Where a question and its answer stand in a sequence, as token positions.

    The question is [asked, answered), the answer with its <eos> [answered, end); source: the tokens (start, end) of the
    document that the answer is copied from, None where that is not certain. kind: the pair's.
    """

    asked: int
    answered: int
    end: int
    source: tuple[int, int] | None
    kind: str = "fact"


@dataclass(frozen=True)
class Sequence:
    """Token ids and, for each, the weight of the loss of predicting it, and the questions at the end."""

    ids: np.ndarray  # [length] int64
    weights: np.ndarray  # [length] float32
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Pair:
    """A question and the values that answer it, none if the text does not tell; `about` is what stands beside the first value
    in the text, to tell it from like ones. kind: fact, needle, cloze, story or absent."""

    question: str
    values: tuple[str, ...]
    about: str = ""
    kind: str = "fact"

    @property
    def answer(self) -> str:
        return ", ".join(self.values) or REFUSAL


@dataclass(frozen=True)
class Example:
    """A text and questions that it answers."""

    text: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Sources:
    """What the corpus is made from: prose, stories with questions, and real words for names."""

    prose: Prose
    stories: tuple[Example, ...]
    words: tuple[str, ...]


def load_sources(data: Path) -> Sources:
    """Read books/, peps/ and fairytaleqa/ under `data` (those that are there)."""
    files = [p.read_text(encoding="utf-8", errors="ignore") for p in sorted((data / "books").glob("*.md"))]
    files += [p.read_text(encoding="utf-8", errors="ignore") for p in sorted((data / "peps").glob("*.rst"))]
    sample = " ".join(text[10_000:40_000] for text in files)
    words = sorted(set(re.findall(r"\b[a-z]{4,10}\b", sample)))
    Random(0).shuffle(words)
    return Sources(Prose(tuple(files)), _load_stories(data / "fairytaleqa"), tuple(words[:12_000]))


class Corpus:
    """An endless, seeded stream of training (or held-out) sequences of one length."""

    def __init__(self, sources: Sources, encode: Encode, length: int, seed: int, held_out: bool = False) -> None:
        self.rng = Random(seed)
        self.sources, self.encode, self.length, self.held_out = sources, encode, length, held_out
        self.names = Names(self.rng, held_out, sources.words)

    def draw(self, num_questions: int | None = None) -> Sequence:
        """The next sequence, with this many questions or a random number of them."""
        rng = self.rng
        num_questions = num_questions or round(rng.choice((2, 6, 8, 10, 12)) * max(1.0, self._share()))
        roll = rng.random()
        if roll < 0.05 and self.sources.stories and not self.held_out:
            example = rng.choice(self.sources.stories)
        elif roll < 0.14 and not self.held_out:
            example = self._cloze(num_questions)
        elif roll < 0.4:
            example = self._needles(num_questions)
        else:
            example = self._facts(num_questions)
        return self._assemble(example, num_questions)

    def _facts(self, num_questions: int) -> Example:
        """A context of facts among prose, from one in a whole window to little else."""
        rng = self.rng
        num_facts = round(rng.choice((1, 4, 8, 10, 12, 14, 16)) * self._share()) or 1
        text, facts = self.page(num_facts, int(2.6 * self.length) - 65 * num_questions)
        pairs = [Pair(self.ask(f), (f.value,), f.entity) for f in rng.sample(facts, min(len(facts), num_questions))]
        pairs += [Pair(former_question(rng, f), (f.former,), f.entity) for f in facts if f.former and rng.random() < 0.3]
        if rng.random() < 0.2:
            pairs += [self.absent(facts) for _ in range(round(rng.choice((1, 2, 3)) * self._share()))]
        rng.shuffle(pairs)
        return Example(text, tuple(pairs))

    def _share(self) -> float:
        """How many times as many statements a sequence holds as one of 512 tokens: long ones hold more prose."""
        windows = self.length / 512
        return windows if windows < 1 else max(1.0, 0.6 * windows)

    def absent(self, facts: list[Fact]) -> Pair:
        """A question that a text with these facts does not answer."""
        return Pair(self.ask(unanswered(self.names, facts)), (), kind="absent")

    def _needles(self, num_questions: int) -> Example:
        """Statements that mean nothing, of one form, hidden in prose or noise; or a JSON object of keys and values."""
        rng, chars = self.rng, int(2.6 * self.length) - 65 * num_questions
        if rng.random() < 0.2:
            text, found, missing = needles.table(self.names, rng.randint(2, max(3, chars // 100)))
            texts = list[str]()
        else:
            text = ""
            texts, found, missing = needles.hidden(self.names, round(rng.choice((2, 4, 8, 12)) * self._share()))
        pairs = [Pair(n.question, n.answers, n.about, "needle") for n in found]
        pairs += [Pair(q, (), kind="absent") for q in missing if rng.random() < 0.25]
        rng.shuffle(pairs)
        pairs = pairs[:num_questions]
        if rng.random() < 0.15:
            more, n = needles.lone(self.names)
            texts.append(more)
            pairs.append(Pair(n.question, n.answers, n.about, "needle"))
        ordered = list[str]()
        if rng.random() < 0.1:
            ordered, n = needles.chain(self.names)
            pairs.append(Pair(n.question, n.answers, n.about, "needle"))
        room = chars - len(text) - sum(map(len, texts))
        noise = rng.choice(needles.NOISE) if rng.random() < 0.2 else ""
        prose = noise * (room // len(noise)) if noise else self.sources.prose.passage(rng, room)
        lines = around.SENTENCE_END.split(" ".join(prose.split()))
        for line in (*texts, text):
            lines.insert(rng.randint(0, len(lines)), line)
        for place, line in zip(sorted(rng.randint(0, len(lines)) for _ in ordered), ordered, strict=True):
            lines.insert(place + ordered.index(line), line)
        rng.shuffle(pairs)
        whole = " ".join(lines) + "\n\n"
        return Example(whole, tuple(replace(p, values=needles.in_order(p.values, p.about, whole)) for p in pairs))

    def page(self, num_facts: int, num_chars: int) -> tuple[str, list[Fact]]:
        """Facts and the text that they are set into, of about so many characters where the facts leave room for more."""
        rng = self.rng
        blocks, facts = self._blocks(num_facts)
        room = num_chars - int(1.15 * sum(len(b) for b in blocks))
        cuts = sorted(rng.random() for _ in blocks)
        shares = [b - a for a, b in zip([0.0, *cuts[:-1]], cuts, strict=True)]
        parts = []
        for block, share in zip(blocks, shares, strict=True):
            gap = self.sources.prose.passage(rng, int(room * share)) if room > 0 and share > 0.05 else ""
            parts.append((around.wrapped(rng, gap) if rng.random() < 0.4 else gap) + ("\n\n" if gap else ""))
            parts.append(around.header(self.names) if rng.random() < 0.3 else "")
            parts.append(block + "\n\n")
        parts.append(self.sources.prose.passage(rng, int(room * (1 - cuts[-1]))) if room > 0 else "")
        return "".join(parts).rstrip() + "\n\n", facts

    def ask(self, item: Fact) -> str:
        """A question for the fact, now and then with a word left out."""
        text = question(self.rng, item)
        return text.replace(" the ", " ", 1) if self.rng.random() < 0.05 else text

    def _blocks(self, num_facts: int) -> tuple[list[str], list[Fact]]:
        rng, prose = self.rng, self.sources.prose
        if num_facts >= 4 and rng.random() < 0.12:
            text, facts = around.as_table(self.names)
            return [text], facts
        facts = around.draw_facts(self.names, num_facts)
        if rng.random() < 0.5:
            rng.shuffle(facts)
        blocks, left = [], list(facts)
        fragments = rng.random() < 0.25
        while left:
            size = rng.randint(1, max(1, len(left)))
            group, left = left[:size], left[size:]
            style = rng.random()
            if fragments:
                text = around.as_fragments(rng, group, prose, rng.randint(0, 150 * size))
            elif style < 0.4:
                text = around.hidden_in_prose(rng, group, prose, rng.randint(30, 200) * size)
            elif style < 0.6:
                text = around.in_a_row(rng, group)
            elif style < 0.75:
                text = around.as_records(rng, group)
            elif style < 0.9:
                text = around.as_lines(rng, group)
            else:
                text = around.as_code(rng, group)
            reflow = style < 0.6 and rng.random() < 0.45
            blocks.append(around.wrapped(rng, text) if reflow else text)
        return blocks, facts

    def _cloze(self, num_questions: int) -> Example:
        """Real text, with questions that quote part of a sentence and ask for the words after it."""
        rng = self.rng
        text = self.sources.prose.passage(rng, self.length * 3)
        if rng.random() < 0.4:
            text = around.wrapped(rng, text)
        flat, pairs = " ".join(text[: self.length * 2].split()), []
        for line in rng.sample(found := around.SENTENCE_END.split(flat), min(len(found), 3 * num_questions)):
            words = line.rstrip('.!?;,"”_*').split()
            if len(words) < 8:
                continue
            end = rng.randint(7, len(words))
            tail, quote = rng.randint(1, 5), rng.randint(4, 10)
            asked = " ".join(words[max(0, end - tail - quote) : end - tail])
            answer = " ".join(words[end - tail : end]).rstrip(",;:")
            if answer and flat.count(asked) == 1:
                pairs.append(Pair(rng.choice(CLOZE).format(asked), (answer,), asked, "cloze"))
        return Example(text + "\n\n", tuple(pairs[:num_questions]))

    def _assemble(self, example: Example, num_questions: int) -> Sequence:
        """`<bos>`, real prose as far as there is room, the text, and the questions with their answers."""
        pairs, text = example.pairs[:num_questions], example.text
        tails = [self._turn(pair) for pair in pairs]
        while sum(len(ids) for ids, _ in tails) > self.length // 2:
            tails.pop()
        room = self.length - 1 - sum(len(ids) for ids, _ in tails)
        while (excess := len(self.encode(text).ids) - room) > 0:
            text = text[2 * excess + 1 :]
        flat = " ".join(text.split())
        kept = [(tail, pair) for tail, pair in zip(tails, pairs, strict=False) if all(value in flat for value in pair.values)]
        room = self.length - 1 - sum(len(ids) for (ids, _), _ in kept)
        if (short := room - len(self.encode(text).ids)) > 0:
            text = self.sources.prose.passage(self.rng, 6 * short) + "\n\n" + text
        encoded = self.encode(text)
        cut = max(0, len(encoded.ids) - room)
        offsets = encoded.offsets[cut:]
        ids, weights, turns = [BOS, *encoded.ids[cut:]], [0.0] + [PROSE_WEIGHT] * len(offsets), []
        for (tail, reply), pair in kept:
            asked, end = len(ids), len(ids) + len(tail)
            turns.append(Turn(asked, end - reply, end, find_source(pair, text, offsets), pair.kind))
            weights += [QUESTION_WEIGHT] * (len(tail) - reply) + [ANSWER_WEIGHT] * reply
            ids += tail
        return Sequence(np.array(ids), np.array(weights, dtype=np.float32), tuple(turns))

    def _turn(self, pair: Pair) -> tuple[list[int], int]:
        """The tokens of a question with its answer, and how many of them are the answer's."""
        reply = [*self.encode(" " + pair.answer).ids, EOS]
        return [ASK, *self.encode(pair.question).ids, ANSWER, *reply], len(reply)


def find_source(pair: Pair, text: str, offsets: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Positions, behind `<bos>`, of the tokens that hold the answer: of several places the one nearest to `about`. None where
    that is not certain, where the answer has several parts, and where there is none."""
    if len(pair.values) != 1:
        return None
    places = [m.span() for m in _loose(pair.answer).finditer(text) if offsets and m.start() >= offsets[0][0]]
    anchors = [m.start() for m in _loose(pair.about).finditer(text)] if pair.about else []
    if not places or (len(places) > 1 and not anchors):
        return None
    begin, end = min(places, key=lambda place: min((abs(place[0] - a) for a in anchors), default=0))
    inside = [i for i, (a, b) in enumerate(offsets, 1) if a < end and b > begin]
    return (inside[0], inside[-1] + 1) if inside else None


def _loose(words: str) -> re.Pattern[str]:
    """These words with any white space between them, in either case."""
    return re.compile(r"\s+".join(map(re.escape, words.split())), re.IGNORECASE)


def second_reading(context: list[np.ndarray], asked: np.ndarray, reply: np.ndarray) -> Sequence:
    """A question beside what the engine lets it see the second time: init, selected and local tokens; all are token ids."""
    ids = np.concatenate([*context, asked, reply])
    answered, end = len(ids) - len(reply), len(ids)
    weights = np.zeros(len(ids), dtype=np.float32)
    weights[answered - len(asked) : answered] = QUESTION_WEIGHT
    weights[answered:] = ANSWER_WEIGHT
    return Sequence(ids, weights, (Turn(answered - len(asked), answered, end, None),))


def batch(sequences: list[Sequence]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and weights of the sequences, padded at the end with `<eos>` of weight 0; both [batch, length]."""
    length = max(len(s.ids) for s in sequences)
    ids = np.full((len(sequences), length), EOS, dtype=np.int64)
    weights = np.zeros((len(sequences), length), dtype=np.float32)
    for row, item in enumerate(sequences):
        ids[row, : len(item.ids)] = item.ids
        weights[row, : len(item.weights)] = item.weights
    return ids, weights


def _load_stories(folder: Path) -> tuple[Example, ...]:
    """FairytaleQA's training sections with those explicit questions whose answer stands in the section."""
    found = []
    for file in sorted((folder / "section-stories" / "train").glob("*-story.csv")):
        asked = folder / "questions" / "train" / file.name.replace("-story.csv", "-questions.csv")
        if not asked.exists():
            continue
        with file.open(encoding="utf-8", newline="") as f:
            sections = {row["section"]: " ".join(row["text"].split()) for row in csv.DictReader(f)}
        with asked.open(encoding="utf-8", newline="") as f:
            rows = [row for row in csv.DictReader(f) if row["ex-or-im1"] == "explicit"]
        for number, text in sections.items():
            pairs = [(r["question"], r["answer1"].strip(" .")) for r in rows if r["cor_section"] == number]
            kept = tuple(Pair(q, (a,), kind="story") for q, a in pairs if a and a in text)
            if kept and len(text) < 2_000:
                found.append(Example(text + "\n\n", kept))
    return tuple(found)
