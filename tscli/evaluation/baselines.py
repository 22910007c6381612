"""What answers are measured against: the same model over text that it reads densely, a plain search, and no answer at all.

document: the right document alone, which is the best that the model can do. rag: BM25's four best passages run again as text,
which is what users have today; rag-2: the two best. everything: the whole library, where it fits the window. sentence: BM25's
best sentence. none: refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from tscli.answer.session import Session
from tscli.errors import UsageError
from tscli.evaluation.answer_journal import AnswerJournal
from tscli.evaluation.dense import TextAnswer, answer_texts
from tscli.evaluation.match import MAX_NEW_TOKENS
from tscli.evaluation.questions import NOTHING_KEPT, Kept, OnAnswer, Question, QuestionReport, ScoredAnswer, scored
from tscli.evaluation.search import Passage, Search, passages_of, sentences_of

BASELINES = ("document", "rag", "rag-2", "everything", "sentence", "none")
OnBaseline = Callable[[str, int, int], None]  # the method; questions done, all of its


def run_baselines(
    session: Session,
    questions: Sequence[Question],
    names: Collection[str] = BASELINES,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    on_answer: OnBaseline | None = None,
    journal: AnswerJournal | None = None,
) -> Iterator[tuple[str, QuestionReport]]:
    """A report by each of the methods of these names, in the order of BASELINES. on_answer is called after each answer.

    journal: answers of the model that are not asked for again, and where those that are made go. UsageError without bm25s, or
    for a name that is none.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise UsageError(f"baseline {unknown[0]!r}: choose {', '.join(BASELINES)}")
    asked, sentences, passages = list(questions), Search(sentences_of(session)), Search(passages_of(session))

    def report(name: str) -> QuestionReport:
        def told(done: int, total: int) -> None:
            if on_answer:
                on_answer(name, done, total)

        kept = journal.by(name) if journal is not None else NOTHING_KEPT
        if name == "document":
            return over_documents(session, asked, max_new_tokens, told, kept)
        if name == "everything":
            return over_everything(session, asked, max_new_tokens, told, kept)
        if name == "sentence":
            return best_sentences(sentences, asked)
        if name == "none":
            return no_answers(asked)
        return over_passages(session, passages, asked, 2 if name == "rag-2" else 4, max_new_tokens, told, kept)

    yield from ((name, report(name)) for name in BASELINES if name in names)


def over_documents(
    session: Session, asked: Sequence[Question], max_new_tokens: int, told: OnAnswer, kept: Kept = NOTHING_KEPT
) -> QuestionReport:
    """Each question that has an answer over the document in which it stands, each document read once for all of them."""
    paths = {document.path: number for number, document in enumerate(session.context.documents)}
    known = sorted((question for question in asked if question.file in paths), key=lambda question: str(question.file))
    if not known:
        return QuestionReport((), "document: skipped, no question names a file of this library")
    answers, cut = dict[Question, ScoredAnswer](), 0
    for file, group in groupby(known, key=lambda question: question.file):
        runs = _read_for(session, paths[str(file)], list(group), max_new_tokens)
        for tokens, questions, whole in runs:
            context = [*session.template.prefix_ids, *session.context.token_ids[tokens].tolist()]
            for question, answer in _over_text(session, context, questions, max_new_tokens, kept):
                answers[question] = answer
                told(len(answers), len(known))
            cut += 0 if whole else len(questions)
    note = f"document: for {cut} of {len(known)} questions only the right page, or the part of it that fits the model's window"
    return QuestionReport(tuple(answers[question] for question in asked if question in answers), note if cut else "")


def _read_for(
    session: Session, number: int, questions: list[Question], max_new_tokens: int
) -> list[tuple[np.ndarray, list[Question], bool]]:
    """The tokens that are read of a document, the questions that are asked of them, and whether they are all of it."""
    room = _room(session, [session.prompt_ids(question.question, max_new_tokens) for question in questions], max_new_tokens)
    document = session.context.documents[number]
    if document.token_end - document.token_start <= room:
        return [(np.arange(document.token_start, document.token_end), questions, True)]
    return [(_around(session, number, question, room), [question], False) for question in questions]


def over_passages(
    session: Session,
    search: Search,
    asked: Sequence[Question],
    count: int,
    max_new_tokens: int,
    told: OnAnswer,
    kept: Kept = NOTHING_KEPT,
) -> QuestionReport:
    """Each question over BM25's best passages, the best one last. The times have the search in them."""
    answers, cut = [], 0
    for done, question in enumerate(asked, start=1):
        started = time.perf_counter()
        found = search.best(question.question, count)
        prompt = session.prompt_ids(question.question, max_new_tokens)
        spelled = _spelled(session, found)
        while len(spelled) > 1 and sum(map(len, spelled)) > _room(session, [prompt], max_new_tokens):
            spelled.pop()
        cut += len(spelled) < len(found)
        context = [*session.template.prefix_ids, *(token for ids in spelled[::-1] for token in ids)]
        found_s = time.perf_counter() - started
        if (answer := kept.get(question)) is None:
            (made,) = answer_texts(session.decoder, context, [prompt], session.template.end_ids, max_new_tokens)
            answer = _scored(session, question, made, found[0], found_s)
            kept.add(answer)
        answers.append(answer)
        told(done, len(asked))
    note = f"rag: for {cut} of {len(asked)} questions fewer than {count} passages, because more do not fit the model's window"
    return QuestionReport(tuple(answers), note if cut else "")


def over_everything(
    session: Session, asked: Sequence[Question], max_new_tokens: int, told: OnAnswer, kept: Kept = NOTHING_KEPT
) -> QuestionReport:
    """Each question over the whole library; no answers where it does not fit the model's window."""
    prompts = [session.prompt_ids(question.question, max_new_tokens) for question in asked]
    context = session.context.token_ids
    over = int(context.shape[0]) - len(session.template.prefix_ids) - _room(session, prompts, max_new_tokens)
    if over > 0:
        window = f"the model's window of {session.decoder.window:,}"
        note = f"everything: skipped, {context.shape[0]:,} tokens with question and answer are {over:,} more than {window}"
        return QuestionReport((), note)
    answers = []
    for _, answer in _over_text(session, context.tolist(), asked, max_new_tokens, kept):
        answers.append(answer)
        told(len(answers), len(asked))
    return QuestionReport(tuple(answers))


def _over_text(
    session: Session, context_ids: Sequence[int], questions: Sequence[Question], max_new_tokens: int, kept: Kept
) -> Iterator[tuple[Question, ScoredAnswer]]:
    """Each question over the same text, which is read once, and not at all where all answers are kept from before."""
    before = [kept.get(question) for question in questions]
    left = [question for question, answer in zip(questions, before, strict=True) if answer is None]
    prompts = [session.prompt_ids(question.question, max_new_tokens) for question in left]
    made = answer_texts(session.decoder, context_ids, prompts, session.template.end_ids, max_new_tokens) if left else iter(())
    for question, known in zip(questions, before, strict=True):
        answer = known or _scored(session, question, next(made))
        if known is None:
            kept.add(answer)
        yield question, answer


def best_sentences(search: Search, questions: Iterable[Question]) -> QuestionReport:
    """Each question answered by the sentence that BM25 ranks first."""
    answers = []
    for question in questions:
        started = time.perf_counter()
        (found,) = search.best(question.question, 1)
        spent = time.perf_counter() - started
        answers.append(scored(question, found.text, found.file, found.page, spent, ttft_s=spent))
    return QuestionReport(tuple(answers))


def no_answers(questions: Iterable[Question]) -> QuestionReport:
    """Each question refused."""
    return QuestionReport(tuple(scored(question, "", None, None, 0.0, names_page=False) for question in questions))


def _scored(
    session: Session, question: Question, answer: TextAnswer, found: Passage | None = None, found_s: float = 0.0
) -> ScoredAnswer:
    """found: the passage that it is taken to have come from; None where everything was read."""
    text = session.tokenizer.decode(answer.token_ids).strip()
    file, page = (found.file, found.page) if found else (None, None)
    total_s, ttft_s = found_s + answer.total_s, found_s + answer.ttft_s
    return scored(question, text, file, page, total_s, ttft_s=ttft_s, names_page=found is not None)


def _room(session: Session, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> int:
    """Tokens of documents that fit the window beside the template, any of the prompts and its answer."""
    taken = len(session.template.prefix_ids) + max(map(len, prompts), default=0) + max_new_tokens
    return session.decoder.window - taken


def _spelled(session: Session, passages: Sequence[Passage]) -> list[list[int]]:
    """The tokens of each passage, with the header line that documents have."""
    texts = [f"# {passage.title}\n\n{passage.text}\n\n" for passage in passages]
    return [encoded.ids.tolist() for encoded in session.tokenizer.encode_text(texts)]


def _around(session: Session, document: int, question: Question, room: int) -> np.ndarray:
    """The tokens of the right page; where it has more than `room`, those around the answer's first mention."""
    context = session.context
    page = np.flatnonzero((context.document == document) & (context.page == question.page))
    if page.size <= room:
        return page
    text, answer = session.tokenizer.decode(context.token_ids[page].tolist()), question.answer or ""
    place = re.search(r"\s+".join(map(re.escape, answer.split())), text, re.IGNORECASE)
    share = place.start() / len(text) if place else 0.0
    start = min(max(0, round(share * page.size) - room // 2), page.size - room)
    return page[start : start + room]
