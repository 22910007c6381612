"""The prose of a blind exam: kinds of documents, and sentences without end that state nothing that is asked. Seeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tscli.evaluation.words import words


@dataclass(frozen=True)
class Genre:
    """A kind of document: its file's name, its title, what its sections begin with, and sentences of its own."""

    file: str
    title: str
    headings: tuple[str, ...]
    own: tuple[str, ...]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.strip().split("\n"))


GENRES = (
    Genre(
        "minutes.md",
        "Minutes of the parish meeting",
        _lines("## Matters arising\n## Correspondence\n## Any other business\n## Reports\n## Questions from the floor"),
        _lines(
            """
Apologies were read and accepted.
It was agreed to come back to this at the next meeting.
There were no objections, only a sigh from the back row.
The clerk was asked to write a polite letter.
A vote was taken by a show of hands, and taken again because of the hats.
The item was put off, as in every year.
Thanks were recorded to everyone who had carried tables.
            """
        ),
    ),
    Genre(
        "handbook.md",
        "A handbook for new neighbours",
        _lines("## Where to turn\n## Getting about\n## Customs and manners\n## Practical hints\n## Rainy days"),
        _lines(
            """
Read the notice in the window before you knock.
Bring your own cup, and take it home again.
If in doubt, ask at the post office.
Bicycles are leaned against the wall and never against the hedge.
Please shut the gate, even if you found it open.
A new edition of these pages is always about to appear.
            """
        ),
    ),
    Genre(
        "letters.txt",
        "Letters to a sister abroad",
        _lines("Dear Nell,\nMy dear Nell,\nDearest,\nDear sister,"),
        _lines(
            """
You will laugh when you hear it.
I have so much to tell that I hardly know where to begin.
The stove smokes as it always did.
Write soon, and send the pattern that you promised.
I thought of you the whole afternoon.
Mother says that you would not know the place any more.
            """
        ),
    ),
    Genre(
        "report.txt",
        "Report on the state of the district",
        _lines("1. Summary\n2. Observations\n3. Findings\n4. Discussion\n5. Remarks"),
        _lines(
            """
The visit took place in dry weather.
No complaint was received.
The undersigned found everything in the order that could be expected.
Further enquiries are recommended but not urgent.
The drawings were consulted, as far as they could be unfolded.
The figures were compared with those of the register.
            """
        ),
    ),
    Genre(
        "guide.md",
        "A walker's guide",
        _lines("## The northern round\n## Along the water\n## A short afternoon\n## Over the hill\n## For bad knees"),
        _lines(
            """
Take the path on the left, which looks like the wrong one.
Good shoes are worth more than a good map.
From the stile there is a fine view, on days that have one.
Dogs are welcome if they can read the sign.
You can rest on the bench, which was put there for the purpose.
Here the lane bends, for no reason that anyone could give.
            """
        ),
    ),
    Genre(
        "newsletter.txt",
        "The monthly letter",
        _lines("NEWS\nPEOPLE\nSMALL ADVERTISEMENTS\nIN BRIEF\nLETTERS FROM READERS"),
        _lines(
            """
The editor apologises for the last puzzle, which had no solution.
Contributions are welcome, short ones more so.
More about this in the next number.
A pair of spectacles was found and waits at the counter.
We hear that the kettle has been mended.
Readers will remember the picture on our cover.
            """
        ),
    ),
    Genre(
        "diary.txt",
        "A diary of small things",
        _lines("Monday.\nWednesday, late.\nThe day after.\nSunday.\nNo date."),
        _lines(
            """
Slept badly and rose early.
Nothing to be done but wait for the rain to end.
Went the long way round, to think.
Soup again, and glad of it.
I must remember to buy string.
Sat at the window until the lamps were lit.
            """
        ),
    ),
)

WHO = words(
    "the postman,an old friend,somebody's uncle,the new teacher,the boy with the cart,a lady in a green hat,the night porter,"
    "one of the cousins,the man from the ministry,a stranger with an umbrella,the cook,our neighbour,the youngest of them,"
    "the organist's wife,a student,the carrier,an aunt of mine,the former sexton,a girl on a bicycle,the whole row behind us",
    ",",
)
DID = words(
    "laughed about,walked round,took a photograph of,asked after,had forgotten,pointed at,wrote a poem about,complained of,"
    "was looking for,could not explain,was fond of,carried,argued about,had dreamt of,sat beside,wanted to sell,admired,"
    "stumbled over,kept silent about,made a drawing of",
    ",",
)
WHAT = words(
    "the garden wall,an empty crate,the broken umbrella,the long table,a jar of nails,the wet flagstones,the view,"
    "the second-best chairs,the old signpost,a heap of leaves,the noise of the pump,the missing spoon,the draught,"
    "a parcel without an address,the stairs,the puddle by the steps,the smell of paint,the state of the road,"
    "the cracked saucer,the barking in the yard",
    ",",
)
WHEN = words(
    "in the afternoon,before breakfast,while it rained,at the wrong moment,after the harvest,in the break,on the way back,"
    "as soon as the lamps were lit,when nobody was looking,in spite of the cold,without being asked,as on every other day,"
    "for the rest of the week,until the bell rang,with great patience",
    ",",
)
SHAPES = (
    "{who} {did} {what} {when}.",
    "{when}, {who} {did} {what}.",
    "It is said that {who} {did} {what} {when}.",
    "{who} {did} {what}, and {other} {more} {thing}.",
    "{when}, so we were told, {who} {did} {what}, which surprised nobody.",
    "There was some talk of {what}, since {who} {did} {thing} {when}.",
    "Because of {what}, {who} stayed longer than was planned.",
    "Whether {who} {did} {what} or only {thing}, opinions differ.",
    "The weather held {when}, and {who} {did} {what}.",
    "Nobody minded that {who} {did} {what} {when}.",
)


def filler(rng: Random, genre: Genre) -> Iterator[str]:
    """Sentences without end, one in six the genre's own; without figures, and without a name of anybody or anything."""
    while True:
        if rng.random() < 1 / 6:
            yield rng.choice(genre.own)
            continue
        (who, other), (did, more), (what, thing) = rng.sample(WHO, 2), rng.sample(DID, 2), rng.sample(WHAT, 2)
        parts = {"who": who, "other": other, "did": did, "more": more, "what": what, "thing": thing, "when": rng.choice(WHEN)}
        text = rng.choice(SHAPES).format(**parts)
        yield text[0].upper() + text[1:]
