"""Text to hide things in: sentences of a folder of documents, or endless invented ones. Strings only, seeded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from random import Random

from tscli.documents import load
from tscli.errors import UsageError
from tscli.evaluation.words import words

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
PEOPLE = words(
    "the baker, the pilot, my aunt, the old clerk, a traveller, the miller, her cousin, the gardener, the judge, a "
    "neighbour, the doctor, the mason, his sister, the teacher, the carter, a widow, the sexton, the weaver",
    ", ",
)
DEEDS = words(
    "walked along, looked across, told us about, remembered, painted, swept, waited beside, wrote about, crossed, measured, "
    "drew, praised, asked about, watched, passed, left, found, admired, mended, dreamt of",
    ", ",
)
QUALITIES = words(
    "quiet, narrow, stony, sunlit, wooden, distant, empty, crowded, crooked, damp, broad, ancient, painted, windy, "
    "familiar, forgotten, muddy, handsome, plain, steep",
    ", ",
)
THINGS = words(
    "bridge, orchard, market, stable, river, courtyard, chapel, garden wall, road to the mill, staircase, meadow, barn, "
    "shore, library, cellar, well, square, pasture, workshop, avenue, kitchen, hedge",
    ", ",
)
TIMES = words(
    "in the morning, before supper, when the rain had stopped, on the way home, after the harvest, without a word, for the "
    "second time, while the others slept, as in every year, late in the evening, at the end of the week, although it was "
    "cold, with great patience, once the bells had rung, because the day was long",
    ", ",
)
LINKS = words(
    "Nothing else happened., So the afternoon went by., Nobody thought it strange., It was like that in those days., The "
    "weather held., Then there was silence., This was told many times., The dogs did not bark.",
    ", ",
)


def invented(rng: Random) -> Iterator[str]:
    """Sentences without end about people, places and times; none of them says anything that a task asks for."""
    while True:
        if rng.random() < 0.15:
            yield rng.choice(LINKS)
            continue
        person, deed, time = rng.choice(PEOPLE), rng.choice(DEEDS), rng.choice(TIMES)
        place = f"the {rng.choice(QUALITIES)} {rng.choice(THINGS)}"
        text = rng.choice((f"{person} {deed} {place} {time}", f"{time}, {person} {deed} {place}"))
        if rng.random() < 0.3:
            text += f", and {rng.choice(PEOPLE)} {rng.choice(DEEDS)} the {rng.choice(THINGS)}"
        yield f"{text[0].upper()}{text[1:]}."


def of_folder(folder: Path) -> Iterator[str]:
    """The sentences of all documents of a folder, over and over (as RULER repeats its essays); UsageError if there are none."""
    documents = load([folder]).documents
    sentences = [" ".join(s.split()) for d in documents for page in d.pages for s in SENTENCE_END.split(page) if s.strip()]
    if not sentences:
        raise UsageError(f"{folder}: no text to hide anything in; name a folder with documents")
    return cycle(sentences)
