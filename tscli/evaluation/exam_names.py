"""Invented people, places, things and figures for a blind exam, none of them twice while there are others left. Seeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tscli.errors import UsageError
from tscli.evaluation.words import words

FIRST = words(
    "Abel Ada Agnes Alban Amara Anton Bela Bertha Blaise Bruno Carla Cedric Celia Clara Conrad Cora Daria Delia Desmond Dora "
    "Edgar Edith Elias Elsa Emil Erna Esther Felix Flora Frieda Gerda Gilbert Greta Gwen Hanna Harriet Hector Helga Hilda Hugo "
    "Ida Imran Irma Isaac Ivo Jarmila Jonas Judith Julius Kamal Karin Klara Lena Leon Lilian Lorenz Lydia Mabel Magnus Marek "
    "Martha Milan Mira Nadia Nils Nora Olga Oskar Otto Pavel Petra Philip Quentin Rafiq Ralph Renata Rosa Rufus Ruth Samir "
    "Selma Sigrid Silvia Stella Tamara Theo Thora Tilde Ulrich Ursula Vera Viktor Vincent Walter Wanda Wilma Xenia Yusra Zora"
)
FAMILY = words(
    "Ash Birk Cald Dray Ell Fenn Gos Hathe Ing Kerr Lang Mar Nether Oak Pem Red Stan Thorn Under Whit Yel Brock Crow"
)
FAMILY_ENDS = words("worth field croft shaw ridge gate lock hart man son bourne wright cliffe sley den house")
PLACE = words(
    "Kel Har Mad Bran Tol Wen Cor Lus Pen Gar Thirl Ock Yar Drem Fal Hex Quen Rud Sel Tarn Ul Ver Wex Zen Bos Cray Dul Esk "
    "Fos Glen Hul Ives"
)
PLACE_ENDS = words("marsh don combe wick ford ley stow thorpe mere by ham minster")
QUALITIES = words(
    "Crooked Silver Patient Merry Black Golden Quiet Lucky Copper Hollow Painted Northern Gentle Proud Scarlet Wandering Tall "
    "Winter Brass Honest"
)
CREATURES = words(
    "Heron Lantern Gannet Anchor Plough Badger Compass Falcon Barrel Otter Kettle Swan Bell Hare Ladder Curlew Mitten Pike "
    "Sparrow Thistle"
)
KINDS = {
    "club": words(
        "Bowls Club,Choral Society,Walking Club,Chess Circle,Camera Club,Brass Band,Reading Circle,Sewing Guild,Cycling Club,"
        "Debating Society,Angling Club,Model Railway Club",
        ",",
    ),
    "building": words("Hall Mill House Chapel Tower Barn Lodge Granary Observatory Grange Priory Signal-Box"),
    "fair": words("Flower Show,Boat Race,Book Week,Cheese Fair,Apple Day,Kite Festival,Horse Fair,Lantern Walk", ","),
    "firm": words("Bakery,Tea Rooms,Delicatessen,Creamery,Confectioners,Kitchen,Market Stall,Smokehouse", ","),
    "reserve": words("Marsh Wood Common Fen Heath Dunes Downs Meadows"),
}
MATERIALS = words(
    "slate,thatch,copper,cedar shingles,clay tiles,turf,zinc,lead,larch boards,reed,glass,limestone slabs,tin,oak shingles,"
    "tarred felt,heather",
    ",",
)
TONES = words("dark pale bright dull deep faded")
COLOURS = words("green blue red yellow grey brown violet orange turquoise crimson")
GOODS = words(
    "barley,paving stones,oranges,timber,salt,wool,sugar beet,roof tiles,cement,barrels of cider,seed potatoes,slate,hops,"
    "cork,linseed,marble,scrap iron,tinned fish,bricks,hay,window glass,rope,coffee,cocoa beans",
    ",",
)
STUFFS = words("silver brass china oak pewter crystal leather walnut enamel velvet wicker marble")
OBJECTS = words("teapot clock candlestick inkwell saddle tray music-box bowl mirror telescope birdcage footstool")
FLAVOURS = words("quince rhubarb ginger hazelnut plum almond saffron damson lemon caraway blackberry chestnut pear treacle")
DISHES = words("tart cake loaf pudding biscuits buns dumplings wafers pasties strudel")
LEAVES = words("hairy creeping spotted bog dwarf nodding grey sweet star-leaved ivory twisted fringed")
PLANTS = words("bellwort sedge orchid gentian fern vetch sundew saxifrage bindweed mallow speedwell milkwort")
INSTRUMENTS = words(
    "cello,oboe,tuba,harp,bassoon,accordion,viola,trombone,clarinet,mandolin,double bass,harmonium,banjo,French horn,flute,"
    "zither,bagpipes,xylophone,cornet,recorder",
    ",",
)
PETS = words(
    "Biscuit Bramble Pepper Captain Domino Fidget Gravy Hopscotch Jigsaw Kipper Mustard Nettle Pudding Rascal Sixpence Thimble "
    "Truffle Waffle Whisper Button Clover Dumpling Marmalade Parsley Pickle Quaver Radish Snowdrop Tinker Umber"
)
JOBS = words(
    "clockmaker,baker's clerk,surveyor,locksmith,bookbinder,plumber,tailor,glazier,saddler,nurse,printer,gardener,dentist,"
    "mapmaker,cobbler,piano tuner,roofer,vet,translator,bus driver,stonemason,beekeeper,milliner,welder,potter,harness maker",
    ",",
)
HOUSES = words("Cottage Lodge Farm Villa Terrace Rectory")
MONTHS = words("January February March April May June July August September October November December")


@dataclass(frozen=True)
class Value:
    """text: as it stands in a statement; answers: all that is right, the fullest first."""

    text: str
    answers: tuple[str, ...]


class Names:
    """Draws subjects and values by their kind; what was drawn does not come again."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._used: set[str] = set()
        self._families: set[str] = set()

    def subject(self, kind: str) -> str:
        """What something can be said of: "the Kelmarsh Bowls Club"."""
        if kind == "person":
            return self.person()
        if kind == "boat":
            return self._new(lambda: f"the {self._pick(QUALITIES)} {self._pick(CREATURES)}")
        article = "" if kind in ("building", "reserve") else "the "
        return self._new(lambda: f"{article}{self._place()} {self._pick(KINDS[kind])}")

    def person(self) -> str:
        """A first name, and a family name that nobody else has."""
        for _ in range(10_000):
            family = self._pick(FAMILY) + self._pick(FAMILY_ENDS)
            if family not in self._families:
                self._families.add(family)
                return f"{self._pick(FIRST)} {family}"
        raise UsageError("too many people: no family names are left; make fewer questions")

    def value(self, kind: str) -> Value:
        """A value of this kind: person, year, money:LOW-HIGH, count:LOW-HIGH UNIT, or one of those of `_plain`."""
        name, _, detail = kind.partition(":")
        if name in ("money", "count"):
            low, high = (detail.partition(" ")[0]).split("-")
            unit = "pounds" if name == "money" else detail.partition(" ")[2]
            number = self._new(lambda: f"{self._rng.randint(int(low), int(high)):,} {unit}", spare=True).split()[0]
            return Value(f"{number} {unit}", (f"{number} {unit}", f"£{number}" if name == "money" else number))
        text = self.person() if name == "person" else self._new(lambda: self._plain(name), spare=True)
        return Value(text, (text.removeprefix("a ").removeprefix("an "),))

    def _plain(self, kind: str) -> str:
        pick = self._pick
        makers: dict[str, Callable[[], str]] = {
            "year": lambda: str(self._rng.randint(1781, 2016)),
            "date": lambda: f"{self._rng.randint(1, 28)} {pick(MONTHS)}",
            "code": lambda: str(self._rng.randint(20_000, 98_999)),
            "place": self._place,
            "inn": lambda: f"{pick(QUALITIES)} {pick(CREATURES)}",
            "material": lambda: pick(MATERIALS),
            "colour": lambda: f"{pick(TONES)} {pick(COLOURS)}",
            "goods": lambda: pick(GOODS),
            "prize": lambda: _with_article(f"{pick(STUFFS)} {pick(OBJECTS)}"),
            "dish": lambda: f"{pick(FLAVOURS)} {pick(DISHES)}",
            "plant": lambda: f"the {pick(LEAVES)} {pick(PLANTS)}",
            "instrument": lambda: pick(INSTRUMENTS),
            "pet": lambda: pick(PETS),
            "job": lambda: pick(JOBS),
            "house": lambda: f"{pick(CREATURES)} {pick(HOUSES)}",
        }
        return makers[kind]()

    def _place(self) -> str:
        return self._pick(PLACE) + self._pick(PLACE_ENDS)

    def _pick(self, some: list[str]) -> str:
        return self._rng.choice(some)

    def _new(self, draw: Callable[[], str], *, spare: bool = False) -> str:
        """One that was not drawn before; spare: where there are hardly any left, one that was."""
        for _ in range(200):
            if (found := draw()).removeprefix("the ") not in self._used:
                self._used.add(found.removeprefix("the "))
                return found
        if spare:
            return draw()
        raise UsageError("too many subjects: no unused names are left; make fewer questions")


def _with_article(text: str) -> str:
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"
