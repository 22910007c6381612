"""Passages about another one that is named like what is asked for, such as Tolstow Meadows for Tolcombe Meadows.

A small model takes the one for the other, and answers. What such a passage says grounds no answer; where another passage has
the name itself and what is asked of it, it is no candidate. Knows a context's words; runs no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tscli.answer.names import another_named, phrases_of
from tscli.answer.passages import Passage, PassageFinder
from tscli.answer.words import QuestionWords
from tscli.tokens import Prompt

ENOUGH = 0.1  # of the weight of a question's words but names: a passage that has the name and as much is read in its place


def namesakes(finder: PassageFinder, prompt: Prompt, passages: Sequence[Passage]) -> list[str]:
    """Of each passage, the name of another one that it speaks of, and of nothing that the question names; else empty."""
    return [another or "" for another in _others(finder, prompt, passages)]


def told_apart(finder: PassageFinder, prompt: Prompt, passages: Sequence[Passage]) -> list[Passage]:
    """The same passages, without those of another one where one that has the name says enough of what is asked."""
    others = _others(finder, prompt, passages)
    if None not in others or not any(others):
        return list(passages)
    question = prompt.question(finder.tokenizer)
    names = "|".join(map(re.escape, phrases_of(question)))
    words = finder.words(finder.tokenizer.encode_text([re.sub(names, "", question)])[0].ids.tolist())
    own = [passage for passage, other in zip(passages, others, strict=True) if other is None]
    if max(_share(finder, words, passage) for passage in own) < ENOUGH:
        return list(passages)
    return [passage for passage, other in zip(passages, others, strict=True) if not other]


def _others(finder: PassageFinder, prompt: Prompt, passages: Sequence[Passage]) -> list[str | None]:
    asked = phrases_of(prompt.question(finder.tokenizer))
    return [another_named(asked, finder.spoken_of(passage)) if asked else "" for passage in passages]


def _share(finder: PassageFinder, words: QuestionWords, passage: Passage) -> float:
    spans = passage.repeated or ((passage.start, passage.end),)
    return max(words.share(start - finder.first, end - finder.first) for start, end in spans)
