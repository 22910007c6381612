"""A question of two documents: the sentence that stands out names somebody, and another document says what is asked of them.

"What does the caretaker of Rudstow Lodge play?" finds "the caretaker, Wanda Crowgate". The name is the bridge (Yang et al.
2018, HotpotQA): of the sentences elsewhere that have it, the one that the question votes for most is attended to as well,
between the passage and its own sentence. Knows a context's words; runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tscli.answer.names import phrases_of
from tscli.answer.passages import LONGEST_REPEATED, Passage, PassageFinder
from tscli.answer.words import QuestionWords
from tscli.tokens import Prompt

MOST = 16  # places elsewhere of a name: which of more is meant cannot be known


def bridged(
    finder: PassageFinder,
    prompt: Prompt,
    words: QuestionWords,
    votes: Tensor,
    passages: Sequence[Passage],
    excluded: Tensor | None,
) -> list[Passage]:
    """The same passages; the one whose repeated sentence has most of the question's words with a sentence from elsewhere about
    the names that this one brings in, where there is one.

    votes, excluded: as `PassageFinder.best` has them.
    """
    first = finder.first
    shares = [max((words.share(start - first, end - first) for start, end in one.repeated), default=0.0) for one in passages]
    best = max(range(len(passages)), key=shares.__getitem__, default=0)
    if not passages or not passages[best].repeated:
        return list(passages)
    asked = prompt.question(finder.tokenizer)
    found = _elsewhere(finder, asked, votes, passages[best], excluded)
    repeated = (*found, *passages[best].repeated)
    return [replace(one, repeated=repeated) if at == best else one for at, one in enumerate(passages)]


def _elsewhere(
    finder: PassageFinder, asked: str, votes: Tensor, passage: Passage, excluded: Tensor | None
) -> list[tuple[int, int]]:
    """The sentence outside a passage with the first name of its repeated one that is not asked for, if any."""
    barred = np.array([]) if excluded is None else excluded.cpu().numpy()
    [own] = passage.repeated
    room = LONGEST_REPEATED - (own[1] - own[0])
    for name in phrases_of(finder.text(*own).strip()):
        if name.casefold() in asked.casefold():
            continue
        places = finder.places_of(name)
        places = places[(places < passage.start) | (places >= passage.end)]
        found = {finder.sentence_at(int(place)) for place in places} if len(places) <= MOST else set()
        allowed = (one for one in found if one[1] - one[0] <= room and not np.isin(np.arange(*one), barred).any())
        if sentences := sorted(allowed):
            total = votes.sum(dim=1).clamp_min(1e-30)
            shares = [votes[:, start - finder.first : end - finder.first].sum(dim=1) / total for start, end in sentences]
            return [sentences[int(torch.stack(shares).sum(dim=1).argmax())]]
    return []
