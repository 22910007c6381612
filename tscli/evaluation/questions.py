"""A file of questions with known answers, asked of an open library one after the other.

Knows sessions, citations and scores; reads no documents. Where the answer is null, only a refusal is right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from tscli.answer.confidence import is_unsure
from tscli.answer.session import Session
from tscli.errors import UsageError
from tscli.evaluation.match import MAX_NEW_TOKENS, is_right
from tscli.evaluation.score import exact_match, interval95, is_refusal, token_f1
from tscli.evidence import find_evidence

THOUGHT_TOKENS = 1024  # of an answer, besides its own, where the model may think first
OnAnswer = Callable[[int, int], None]  # done, total
FIELDS: dict[str, type] = {"question": str, "answer": str, "kind": str, "file": str, "page": int}


@dataclass(frozen=True)
class Question:
    """answer: None where the documents do not contain it; more: other answers that are as right. file and page: where the
    answer is, as `tscli ask` shows them, or None.
    """

    question: str
    answer: str | None
    kind: str = "lookup"
    file: str | None = None
    page: int | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoredAnswer:
    """One question answered. right: whether the answer holds the wanted one and no rival, see `match`; exact: whether it is
    that and no more; refused: whether it says that the documents do not contain the answer.

    page_first: whether the answer's page is the first source; None where no page is known, or the method names none.
    cited: whether the first citation's quote holds the wanted answer; None where there is neither. seconds: to the end of
    the answer; ttft_s: to its first token, None where nothing was prefilled. confidence: see `Statistics`.
    """

    question: Question
    text: str
    exact: bool
    f1: float
    page_first: bool | None
    file: str | None
    page: int | None
    seconds: float
    right: bool
    refused: bool
    cited: bool | None = None
    ttft_s: float | None = None
    confidence: float | None = None

    @property
    def is_unsure(self) -> bool:
        """Whether a user is told that the model was unsure of this answer."""
        return is_unsure(self.confidence)


@dataclass(frozen=True)
class Tally:
    """The figures of one kind of question: n, shares of them, Wilson's 95% intervals of `exact` (ci95) and of `right`.

    cited: share of the right ones. ttft_s: median time to the first token. known: answers that refuse nothing and whose
    confidence is known; unsure: the share of them of which the model was unsure, None where there are none; right_if_sure,
    right_if_unsure: the share of right ones among the others and among these.
    """

    kind: str
    n: int
    exact: float
    ci95: tuple[float, float]
    f1: float
    page_first: float | None
    cited: float | None
    right: float
    right_ci95: tuple[float, float]
    refused: float
    ttft_s: float | None
    known: int
    unsure: float | None
    right_if_sure: float | None
    right_if_unsure: float | None


@dataclass(frozen=True)
class QuestionReport:
    """All answers, in the order of the questions. note: what is to be known of how they were made, or why there are none."""

    answers: tuple[ScoredAnswer, ...]
    note: str = ""

    def tallies(self) -> list[Tally]:
        """One per kind of question, in order of appearance, and where there are several, one over all of them: "all"."""
        kinds = dict.fromkeys(answer.question.kind for answer in self.answers)
        found = [_tally(kind, [answer for answer in self.answers if answer.question.kind == kind]) for kind in kinds]
        return [*found, _tally("all", self.answers)] if len(kinds) > 1 else found


class Kept(Protocol):
    """Answers by one method that are kept while an evaluation runs, see `answer_journal`."""

    def get(self, question: Question) -> ScoredAnswer | None:
        """The answer to a question that is not to be asked again; None where it is to be asked."""

    def add(self, answer: ScoredAnswer) -> None:
        """Keep an answer that was just made."""


class _NothingKept:
    def get(self, question: Question) -> ScoredAnswer | None:
        return None

    def add(self, answer: ScoredAnswer) -> None:
        pass


NOTHING_KEPT: Kept = _NothingKept()


def every_nth(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """At most `limit` of the questions, evenly spread over them; None: all."""
    count = len(questions) if limit is None else min(limit, len(questions))
    return [questions[number * len(questions) // count] for number in range(count)]


def read_questions(file: Path) -> list[Question]:
    """JSON lines with "question" and "answer" (a string, several in a list, or null), and maybe "kind", "file", "page".

    UsageError naming the file and the line where something else is there.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: cannot be read ({getattr(error, 'strerror', None) or error}); name a file of JSON lines"
        ) from error
    questions = [_question(f"{file}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not questions:
        raise UsageError(f'{file}: no questions; one line each, as {{"question": "...", "answer": "..."}}')
    return questions


def ask_all(
    session: Session,
    questions: Iterable[Question],
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    think: bool = False,
    on_answer: OnAnswer | None = None,
    kept: Kept | None = None,
) -> QuestionReport:
    """Ask greedily and score each; on_answer is called after each. think: the session's model may think first, in
    THOUGHT_TOKENS more. kept: answers that are not asked for again, and where those that are made go."""
    max_new_tokens += THOUGHT_TOKENS if think else 0
    asked, kept = list(questions), NOTHING_KEPT if kept is None else kept
    answers = []
    for done, question in enumerate(asked, start=1):
        if (answer := kept.get(question)) is None:
            answer = _ask(session, question, max_new_tokens)
            kept.add(answer)
        answers.append(answer)
        if on_answer is not None:
            on_answer(done, len(asked))
    return QuestionReport(tuple(answers))


def _ask(session: Session, question: Question, max_new_tokens: int) -> ScoredAnswer:
    stream = session.ask(question.question, max_new_tokens=max_new_tokens)
    for _ in stream:
        pass
    answer = stream.answer
    file, page = (answer.sources[0].file, answer.sources[0].page) if answer.sources else (None, None)
    citations = find_evidence(session, answer, top=1).citations
    quote = citations[0].as_read if citations else None  # in which the answer's own words are looked for
    times = answer.statistics
    return scored(question, answer.text, file, page, times.total_s, quote, ttft_s=times.ttft_s, confidence=times.confidence)


def scored(
    question: Question,
    text: str,
    file: str | None,
    page: int | None,
    seconds: float,
    quote: str | None = None,
    *,
    ttft_s: float | None = None,
    confidence: float | None = None,
    names_page: bool = True,
) -> ScoredAnswer:
    """An answer with its scores, the best over all that are right (as SQuAD's); file and page are its first source,
    quote its first citation. names_page: whether the method names sources at all."""
    cited, refused = None, is_refusal(text)
    if question.answer is None:
        exact = right = refused
        f1 = float(refused)
    else:
        wanted = (question.answer, *question.more)
        exact, f1 = any(exact_match(text, one) for one in wanted), max(token_f1(text, one) for one in wanted)
        known = " ".join((question.question, *wanted))  # what is one of several right answers is no rival of another
        right = any(is_right(text, one, known) for one in wanted)
        cited = None if quote is None else any(_holds(quote, one) for one in wanted)
    page_first = (file, page) == (question.file, question.page) if names_page and question.file is not None else None
    return ScoredAnswer(question, text, exact, f1, page_first, file, page, seconds, right, refused, cited, ttft_s, confidence)


def _holds(quote: str, answer: str) -> bool:
    return " ".join(answer.split()).casefold() in quote.casefold()


def _tally(kind: str, answers: Sequence[ScoredAnswer]) -> Tally:
    n, exact, right = len(answers), sum(answer.exact for answer in answers), sum(answer.right for answer in answers)
    times = [answer.ttft_s for answer in answers if answer.ttft_s is not None]
    known = [answer for answer in answers if answer.confidence is not None and not answer.refused]
    return Tally(
        kind,
        n,
        exact / n,
        interval95(exact, n),
        sum(answer.f1 for answer in answers) / n,
        _share([answer.page_first for answer in answers]),
        _share([answer.cited for answer in answers if answer.right]),
        right / n,
        interval95(right, n),
        sum(answer.refused for answer in answers) / n,
        median(times) if times else None,
        len(known),
        _share([answer.is_unsure for answer in known]),
        _share([answer.right for answer in known if not answer.is_unsure]),
        _share([answer.right for answer in known if answer.is_unsure]),
    )


def _share(found: Sequence[bool | None]) -> float | None:
    known = [one for one in found if one is not None]
    return sum(known) / len(known) if known else None


def _question(place: str, line: str) -> Question:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise UsageError(
            f'{place}: is not valid JSON ({error}); each line must be like {{"question": "...", "answer": "..."}}'
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f'{place}: must be an object, like {{"question": "...", "answer": "..."}}')
    several = found.get("answer")
    if isinstance(several, list) and several and all(isinstance(answer, str) for answer in several):
        found["answer"] = several[0]
    for name, kind in FIELDS.items():
        value = found.get(name)
        if value is None and name in ("question", "kind") and (name in found or name == "question"):
            raise UsageError(f'{place}: "{name}" must be a string')
        if value is not None and not isinstance(value, kind):
            raise UsageError(f'{place}: "{name}" is {value!r}; it must be {"a number" if kind is int else "a string"}')
    if "answer" not in found:
        raise UsageError(f'{place}: "answer" is missing; use null where the documents do not contain the answer')
    more = tuple(several[1:]) if isinstance(several, list) else ()
    return Question(**{name: found[name] for name in FIELDS if name in found}, more=more)
