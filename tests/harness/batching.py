"""What it saves to answer several questions in step with each other, against one after the other.

    OMP_NUM_THREADS=2 python tests/harness/batching.py LIBRARY samples/questions.jsonl [QUESTIONS] [ROUNDS]

Prints seconds and how many answers are those of one question at a time; at the end by how much each way is faster, by the
least of all rounds, which are taken alternately.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import tscli

WAYS = (1, 2, 4, 8, 16)
LIMIT = 64  # tokens of an answer


def main() -> None:
    """Ask alternately in every way."""
    library, file = sys.argv[1:3]
    count, rounds = (int(text) for text in (*sys.argv[3:5], "16", "3")[:2])
    questions = tscli.read_questions(Path(file))[:count]
    texts = [question.question for question in questions]
    spent: dict[int, list[float]] = {way: [] for way in WAYS}
    with tscli.open_library(library) as session:
        alone = [answer.text for answer in session.ask_batch(texts, 1, max_new_tokens=LIMIT)]
        for number in range(rounds):
            for way in WAYS if number % 2 == 0 else WAYS[::-1]:
                started = time.perf_counter()
                answers = [answer.text for answer in session.ask_batch(texts, way, max_new_tokens=LIMIT)]
                spent[way].append(time.perf_counter() - started)
                same = sum(mine == other for mine, other in zip(answers, alone, strict=True))
                print(f"{way:>2} together: {spent[way][-1]:.2f} s, {same} of {len(texts)} answers the same", flush=True)
    for way, seconds in spent.items():
        print(f"{way:>2} together: {min(spent[1]) / min(seconds):.2f} times as fast as one after the other")


main()
