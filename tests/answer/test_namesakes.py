"""Passages about another one that is named like what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tests.answer.voting_model import answer, save_voting_model
from tscli.answer import retrieval_answer
from tscli.answer.namesakes import namesakes, told_apart
from tscli.answer.passages import EARLIER, Passage, PassageFinder
from tscli.answer.stream import UNGROUNDED
from tscli.tokens import Prompt, SourceText, Tokenizer, build_context, load_template, load_tokenizer

WriteDocuments = Callable[..., Path]
OTHER = "The warden of Tolstow Meadows is Judith Whithart."
GIVEN = "Long ago Ulrich Netherlock gave away Tolcombe Meadows."
OWN = "As warden they have Bo Quill in Tolcombe Meadows."
FILLER = "It rained on the hill for the whole of the night, and nobody came by. " * 40
ASKED = "Who is the warden of Tolcombe Meadows?"


@pytest.fixture(scope="module")
def tokenizer(small_model: Path) -> Tokenizer:
    return load_tokenizer(str(small_model))


def finder_of(tokenizer: Tokenizer, *texts: str) -> PassageFinder:
    sources = [SourceText(f"{number}.txt", "a", (text,), False, f"{number}.txt") for number, text in enumerate(texts)]
    return PassageFinder(build_context(tokenizer, load_template(tokenizer), sources), tokenizer)


def prompt_of(tokenizer: Tokenizer, question: str) -> Prompt:
    ids = tuple(tokenizer.encode_text([question])[0].ids.tolist())
    return Prompt(ids, 0, len(ids))


def passages_of(finder: PassageFinder, *sentences: str) -> list[Passage]:
    """Each sentence as a passage of its own, in its own document."""
    found = []
    for number, document in enumerate(finder._context.documents):
        text = finder.text(document.token_start, document.token_end)
        lengths = [len(finder.text(at, at + 1)) for at in range(document.token_start, document.token_end)]
        place, at, start = text.index(sentences[number]), 0, document.token_start
        while at < place:
            at += lengths[start - document.token_start]
            start += 1
        end = start
        while at < place + len(sentences[number]):
            at += lengths[end - document.token_start]
            end += 1
        found.append(Passage(start, end, document.token_start, document.token_start + 4))
    return found


def test_a_passage_about_another_one_is_told_by_its_name(tokenizer: Tokenizer) -> None:
    finder = finder_of(tokenizer, FILLER + OTHER, FILLER + GIVEN, FILLER + "Bo is here.")
    passages = passages_of(finder, OTHER, GIVEN, "Bo is here.")
    assert namesakes(finder, prompt_of(tokenizer, ASKED), passages) == ["Tolstow Meadows", "", ""]
    assert namesakes(finder, prompt_of(tokenizer, "Who is the warden?"), passages) == ["", "", ""]


def test_it_may_be_named_before_the_passage_or_where_its_document_begins(tokenizer: Tokenizer) -> None:
    near = "Tolcombe Meadows lie by the river. It rained all night. "
    finder = finder_of(tokenizer, FILLER + near + OTHER, near + FILLER + OTHER, FILLER + near + FILLER + OTHER)
    passages = passages_of(finder, OTHER, OTHER, OTHER)
    passages[1] = Passage(passages[1].start, passages[1].end, passages[1].lead, passages[1].lead + 48)
    assert passages[2].start - passages[2].lead > 2 * EARLIER
    assert namesakes(finder, prompt_of(tokenizer, ASKED), passages) == ["", "", "Tolstow Meadows"]


def test_it_is_no_candidate_where_a_passage_with_the_name_says_what_is_asked(tokenizer: Tokenizer) -> None:
    prompt = prompt_of(tokenizer, ASKED)
    for own, kept in ((OWN, [1]), (GIVEN, [0, 1])):  # who gave them away says nothing of a warden
        finder = finder_of(tokenizer, FILLER + OTHER, FILLER + own)
        passages = passages_of(finder, OTHER, own)
        assert told_apart(finder, prompt, passages) == [passages[at] for at in kept]
    assert told_apart(finder, prompt, passages[:1]) == passages[:1]
    assert told_apart(finder, prompt, []) == []


@pytest.mark.parametrize("name", ["", "Tolstow Meadows"])
def test_what_is_said_of_another_one_grounds_no_answer(
    small_model: Path, tmp_path: Path, write_documents: WriteDocuments, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tscli.prepare([write_documents(words=200)], "voted", save_voting_model(small_model, tmp_path / "voting")).run()
    gains = list[float]()

    class Judge:
        """Ends after five tokens that gain nothing."""

        is_none = is_over = False
        grounded = 0

        def __init__(self, *_: object) -> None:
            pass

        def take(self, _: int, behind: float, without: float) -> None:
            gains.append(behind - without)
            self.is_over = self.is_none = len(gains) == 5 and not any(gains)

        def end(self, *, cut: bool = False) -> None:
            pass

    monkeypatch.setattr(retrieval_answer, "AnswerJudge", Judge)
    monkeypatch.setattr(retrieval_answer, "namesakes", lambda _finder, _prompt, passages: [name] * len(passages))
    with tscli.open_library("voted") as session:
        found = answer(session)
    if name:
        assert gains == [0.0] * 5
        assert found.text == f"{UNGROUNDED} What comes nearest is about Tolstow Meadows."
    else:
        assert any(gains)
        assert not found.text.startswith(UNGROUNDED)
