"""Invented look-ups: a statement, the question in its own words, and the question in other words. Strings only, seeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

NAME, WORD, NUMBER, YEAR = "name", "word", "number", "year"
# statement, question in its words, question in others, kind of the answer
FACTS = (
    ("The caretaker of the old observatory was called {}.", "Who was the caretaker of the old observatory?",
     "Who looked after the building with the telescopes?", NAME),
    ("The secret word of the winter club is {}.", "What is the secret word of the winter club?",
     "What must be whispered to be let in by the skiers' society?", WORD),
    ("Ferry tickets to Ostrava Island cost {} crowns.", "How much do ferry tickets to Ostrava Island cost?",
     "What does a passenger pay for the boat across?", NUMBER),
    ("The mill at Harrowdale burned down in {}.", "When did the mill at Harrowdale burn down?",
     "In which year was the place where flour was ground destroyed by fire?", YEAR),
    ("{} teaches the violin at the Linden school.", "Who teaches the violin at the Linden school?",
     "Who gives lessons on a stringed instrument?", NAME),
    ("The vault of the savings bank opens with the code {}.", "What is the code of the vault of the savings bank?",
     "Which combination unlocks the strongroom with the money?", NUMBER),
    ("The favourite dish of the bishop was {} soup.", "What was the favourite dish of the bishop?",
     "What did the head of the diocese like best to eat?", WORD),
    ("The tower of Saint Brannoc is {} feet high.", "How high is the tower of Saint Brannoc?",
     "How tall is the steeple of the church?", NUMBER),
    ("The first mayor of Tallow Bridge was {}.", "Who was the first mayor of Tallow Bridge?",
     "Who was the earliest to govern the town?", NAME),
    ("The glass factory in Perrin employs {} people.", "How many people does the glass factory in Perrin employ?",
     "How large is the workforce of the plant where bottles are blown?", NUMBER),
    ("The dog of the stationmaster answered to the name of {}.", "What was the name of the stationmaster's dog?",
     "What was the railwayman's pet called?", WORD),
    ("The treaty between the two valleys was signed in {}.", "When was the treaty between the two valleys signed?",
     "In what year did the neighbouring peoples agree to make peace?", YEAR),
    ("The painting over the fireplace is the work of {}.", "Whose work is the painting over the fireplace?",
     "Which artist made the picture that hangs above the hearth?", NAME),
    ("The night train leaves from platform {}.", "From which platform does the night train leave?",
     "Where should a traveller wait for the last connection in the dark?", NUMBER),
    ("The orchard behind the abbey grows a pear called {}.", "What is the pear called that the orchard behind the abbey grows?",
     "Which variety of fruit do the monks have on their trees?", WORD),
    ("Members of the rowing society pay {} shillings a year.", "What do members of the rowing society pay a year?",
     "What is the annual fee for those who scull?", NUMBER),
    ("The physician at the spa of Bellcombe is {}.", "Who is the physician at the spa of Bellcombe?",
     "Which doctor treats the guests who come to take the waters?", NAME),
    ("The bell in the market square was cast in {}.", "When was the bell in the market square cast?",
     "How old is the thing that rings over the stalls: from what year is it?", YEAR),
    ("The password to the archive is {}.", "What is the password to the archive?",
     "What does one have to type to see the old records?", WORD),
    ("The lost manuscript was found by {}.", "Who found the lost manuscript?",
     "Who discovered the papers that had gone missing?", NAME),
    ("The reservoir above Kestle holds {} million gallons.", "How many million gallons does the reservoir above Kestle hold?",
     "What is the capacity of the lake that supplies the taps?", NUMBER),
    ("The widow's ship was christened the {}.", "What was the widow's ship christened?",
     "What name did the bereaved lady give to her vessel?", WORD),
    ("The chess tournament in Varna was won by {}.", "Who won the chess tournament in Varna?",
     "Who came first when the masters of the board game met?", NAME),
    ("The bakery on Mill Lane opened in {}.", "When did the bakery on Mill Lane open?",
     "Since what year has bread been sold there?", YEAR),
    ("The inspector keeps his spare key in the {} jar.", "In which jar does the inspector keep his spare key?",
     "Where does the policeman hide what opens his door?", WORD),
    ("The museum's oldest coin is kept in case {}.", "In which case is the museum's oldest coin kept?",
     "Where on display is the most ancient piece of money?", NUMBER),
    ("The architect of the new theatre was {}.", "Who was the architect of the new theatre?",
     "Who designed the playhouse?", NAME),
    ("The canal to Dunmere was dug in {}.", "When was the canal to Dunmere dug?",
     "In what year was the waterway for the barges made?", YEAR),
    ("The colour of the regiment's banner is {}.", "What is the colour of the regiment's banner?",
     "Which hue does the soldiers' flag have?", WORD),
    ("The parcel for the notary weighed {} pounds.", "How much did the parcel for the notary weigh?",
     "How heavy was the package that the lawyer got?", NUMBER),
    ("The lighthouse keeper's daughter married {}.", "Whom did the lighthouse keeper's daughter marry?",
     "Who became the husband of the girl who grew up by the lamp?", NAME),
    ("The inn at the crossroads is named The {} Lantern.", "What is the inn at the crossroads named?",
     "What is written over the door of the house where travellers sleep?", WORD),
    ("The bridge at Coldwater was closed in {}.", "When was the bridge at Coldwater closed?",
     "Since what year has nobody been able to cross the river?", YEAR),
    ("The choir of Saint Maud is led by {}.", "Who leads the choir of Saint Maud?",
     "Who conducts the singers in the church?", NAME),
    ("The doctor prescribed {} drops of the tincture.", "How many drops of the tincture did the doctor prescribe?",
     "What dose of the medicine was the patient told to take?", NUMBER),
    ("The horse that won the county race was {}.", "Which horse won the county race?",
     "What was the fastest animal on the track called?", WORD),
)  # fmt: skip
FIRST = [
    "Alban",
    "Brita",
    "Casimir",
    "Delphine",
    "Edmund",
    "Frieda",
    "Gaspard",
    "Hedda",
    "Ivo",
    "Jolanta",
    "Kilian",
    "Leonie",
    "Magnus",
    "Nadia",
    "Osric",
    "Petra",
    "Quentin",
    "Rosalind",
    "Sigmund",
    "Tamsin",
]
LAST = [
    "Achterberg",
    "Brandvold",
    "Castellane",
    "Dunmore",
    "Eskola",
    "Fairweather",
    "Grimaldi",
    "Holloway",
    "Ivarsson",
    "Jessop",
    "Kowalczyk",
    "Lindqvist",
    "Merriweather",
    "Northcote",
    "Ollivander",
    "Pemberton",
    "Quillfeather",
    "Rasmussen",
    "Stavros",
    "Thistlewood",
]
WORDS = [
    "saffron",
    "marlin",
    "juniper",
    "cobalt",
    "thimble",
    "walnut",
    "heron",
    "ginger",
    "velvet",
    "pumice",
    "clover",
    "almond",
    "falcon",
    "cinnamon",
    "anchor",
    "poppy",
    "amber",
    "thistle",
    "pepper",
    "copper",
]


@dataclass(frozen=True)
class LookUp:
    """A statement with its answer, and two questions for it: in its own words, and in others."""

    statement: str
    answer: str
    literal: str
    reworded: str


def look_ups(seed: int) -> list[LookUp]:
    """All of them, in an order and with answers that follow from the seed; no answer twice."""
    rng = Random(seed)
    facts = rng.sample(FACTS, len(FACTS))
    values = _values(rng)
    found = []
    for statement, literal, reworded, kind in facts:
        answer = next(values[kind])
        text = statement.format(answer)
        found.append(LookUp(text[0].upper() + text[1:], answer, literal, reworded))
    return found


def _values(rng: Random) -> dict[str, Iterator[str]]:
    names = zip(rng.sample(FIRST, len(FIRST)), rng.sample(LAST, len(LAST)), strict=True)
    return {
        NAME: (" ".join(pair) for pair in names),
        WORD: iter(rng.sample(WORDS, len(WORDS))),
        NUMBER: map(str, rng.sample(range(12, 9800), len(FACTS))),
        YEAR: map(str, rng.sample(range(1500, 1930), len(FACTS))),
    }
