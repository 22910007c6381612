"""Invented names and values: people, places, things, codes, dates. Strings only, drawn from a seeded `random.Random`.

Knows nothing of relations or wordings. Every name contains a word that `held_out_word` puts on one side of a fixed split,
so that names met in the held-out evaluation were never met in training.
"""

from collections.abc import Callable
from random import Random
from zlib import crc32


def words(text: str, separator: str | None = None) -> list[str]:
    """A list of words written as one string."""
    return text.split(separator)


ONSETS = words("b br c ch cl d dr f fl g gr h j k kl l m n p pr qu r s sh sk st t th tr v w z al or el is um an")
VOWELS = words("a e i o u a e i o ai ea ou ie oo")
CODAS = words("n r l s t m nd rn ck x th lf ng st ll d v sk  rt b", " ")
ENDINGS = words("a o en er in is um ia ow ell ard et ino ey ton ford berg ville wick by holm stad mouth field")
FIRST = words(
    "Ada Ben Carla Dan Eva Femi Gina Hugo Ines Jan Kofi Lena Mara Nils Omar Petra Rosa Sven Tara Uma Vera Wim Yara Zoe "
    "Anna Boris Chen Dora Emil Fatima Greta Hana Ivan Joan Karim Leo Mia Noor Oleg Priya Ruth Samir Tom Ursula Victor "
    "Alice Bruno Cora David Elias Flora George Helen Igor Julia Klaus Laura Martin Nadia Oscar Paula Rafael Simon"
)
COLOURS = words("red blue green yellow white black grey brown orange purple pink silver golden turquoise crimson ivory")
SHADES = words("dark pale bright deep dull light")
ADJECTIVES = words(
    "old new small large broken hidden quiet second northern southern eastern wooden iron copper silent early late "
    "narrow wide lost empty heavy round long short cold warm dry wet secret public annual royal spare frozen loose "
    "ancient modern famous painted folding sealed rusty clean digital portable tropical distant hollow bright"
)
NOUNS = words(
    "bell lamp garden market harbour clock mill tower valve bearing pump cable filter sensor key box lantern map "
    "mirror ladder bridge cabinet drawer engine wheel letter coin flag stone river window door table chair carpet "
    "basket bottle crystal feather hammer anchor candle compass crown drum fountain glove helmet kettle needle "
    "orchard pillar quilt ribbon saddle telescope umbrella violin wagon archive battery circuit fuse gasket hose "
    "magnet nozzle piston relay shaft switch turbine cheese pottery festival choir library theatre trophy prize"
)
WORDS = words(
    "amber falcon cedar atlas comet delta ember heron iris juniper kestrel lotus maple nova opal pioneer quartz raven "
    "sable tiger umbra velvet willow yarrow zephyr aurora beacon cobalt drift echo flint granite harvest indigo jade "
    "lagoon meteor nectar orbit pebble quill ridge solstice thistle vertex walnut apex bramble cascade dune falconer"
)
FOODS = words(
    "lentil soup,fried herring,apple cake,rye bread,mushroom stew,plum jam,goat cheese,pea soup,rice pudding,olives,"
    "smoked trout,honey,barley,beetroot salad,cinnamon buns,insects,small fish,seeds,grass,berries,saffron,ginger,"
    "roast duck,walnuts,nettles,acorns,dark chocolate,onion tart,potato dumplings,figs,snails,krill,worms",
    ",",
)
MATERIALS = words(
    "oak,steel,granite,copper,brass,limestone,bamboo,aluminium,concrete,glass,pine,marble,ceramic,titanium,cork,"
    "carbon fibre,red brick,slate,leather,cast iron,plywood,sandstone,oil on canvas,watercolour,bronze,nickel",
    ",",
)
JOBS = words(
    "baker,pilot,chief engineer,head nurse,librarian,surveyor,blacksmith,tax adviser,data analyst,sound technician,"
    "dentist,plumber,botanist,night watchman,translator,accountant,geologist,violin maker,ranger,bookbinder",
    ",",
)
ANIMALS = words("cat,parrot,tortoise,greyhound,goldfish,rabbit,donkey,owl,hamster,pony,raven,lizard,otter,fox", ",")
ROLES = words(
    "keeper warden secretary treasurer chief inspector cook clerk officer engineer president chairman teacher doctor driver "
    "director gardener captain manager librarian editor nurse judge coach baker painter guide curator"
)
HOBBIES = words("chess,rowing,bird watching,knitting,fencing,gardening,judo,painting,hiking,photography,juggling", ",")
LIQUIDS = words("mineral oil,distilled water,glycol,linseed oil,silicone grease,brine,paraffin,synthetic oil", ",")
OS = words("Debian,FreeBSD,Windows,Ubuntu,Solaris,Alpine,Fedora,OpenBSD,macOS,Plan 9,Haiku", ",")
MEDICINES = words("ibuprofen,aspirin,penicillin,insulin,codeine,quinine,lithium,cortisone,morphine,iodine", ",")
MONTHS = words("January February March April May June July August September October November December")
WEEKDAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
LANGUAGES = words("Python,Rust,Go,Java,Erlang,Haskell,Fortran,Lua,Perl,Kotlin,Elixir,Zig,Scala,Ada", ",")
PREPOSITIONS = words("behind,under,beside,above,next to,in front of,inside,near,opposite,below", ",")


def held_out_word(word: str) -> bool:
    """Whether a name word is reserved for the held-out evaluation (a fixed tenth of all words)."""
    return crc32(word.lower().encode()) % 10 == 0


def cap(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


class Names:
    """A seeded source of names and values on one side of the held-out split.

    `more` are further real words (from a corpus) that names and phrases may be made of.
    """

    def __init__(self, rng: Random, held_out: bool = False, more: tuple[str, ...] = ()) -> None:
        self.rng = rng
        self.held_out = held_out
        self.words = [w for w in (*WORDS, *more) if held_out_word(w) == held_out]
        self.nouns = [*NOUNS, *more[: 20 * len(NOUNS)]]

    def syllables(self) -> str:
        """An invented word, capitalised, such as `Brenal` or `Toskerwick`."""
        rng = self.rng
        while True:
            word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.choice((1, 1, 2))))
            word = cap(word + rng.choice(CODAS) + (rng.choice(ENDINGS) if rng.random() < 0.6 else ""))
            if 4 <= len(word) <= 12 and held_out_word(word) == self.held_out:
                return word

    def word(self) -> str:
        """An invented or a real word, capitalised."""
        return self.syllables() if self.rng.random() < 0.6 else cap(self.rng.choice(self.words))

    def person(self) -> str:
        rng, last = self.rng, self.word()
        first = self.syllables() if rng.random() < 0.3 else rng.choice(FIRST)
        roll = rng.random()
        if roll < 0.75:
            return f"{first} {last}"
        if roll < 0.9:
            return f"{rng.choice(('Dr', 'Ms', 'Mr', 'Mrs', 'Professor', 'Captain'))} {last}"
        return f"{first} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"

    def org(self) -> str:
        rng = self.rng
        tail = rng.choice(
            words("Foundation,Institute,Brothers,Ltd,Works,Press,Society,Bank,Group,Labs,Trust,Logistics,Energy", ",")
        )
        return f"{self.word()} {self.word()} {tail}" if rng.random() < 0.2 else f"{self.word()} {tail}"

    def code(self) -> str:
        """An identifier such as `KX-4471`, `b92f`, `7714-QD` or `INV/2031/88`."""
        rng = self.rng
        letters = "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=rng.choice((1, 2, 2, 3, 4))))
        digits = "".join(rng.choices("0123456789", k=rng.choice((2, 3, 4, 4, 5))))
        more = str(rng.randint(1, 99))
        return rng.choice(
            (
                f"{letters}-{digits}", f"{letters}{digits}", f"{digits}-{letters}", f"{letters}-{digits}-{more}",
                f"{digits}", f"{digits}{digits[:2]}", f"{letters}/{digits}/{more}", f"{letters.lower()}-{digits}",
                f"{letters}.{digits}", f"{digits} {more}{digits[0]}", f"{letters} {digits}",
            )
        )  # fmt: skip

    def secret(self) -> str:
        rng = self.rng
        roll = rng.random()
        if roll < 0.35:
            return self.code()
        if roll < 0.6:
            return f"{rng.choice(self.words)}-{rng.choice(self.nouns)}-{rng.randint(2, 99)}"
        if roll < 0.8:
            return f"{rng.choice(self.words)} {rng.choice(self.nouns)}"
        return "".join(rng.choices("abcdefghkmnpqrstuvwxyzABCDEFGHKLMNPRSTUVXYZ23456789", k=rng.randint(5, 9)))

    def colour(self) -> str:
        shade = f"{self.rng.choice(SHADES)} " if self.rng.random() < 0.5 else ""
        return shade + self.rng.choice(COLOURS)

    def phrase(self) -> str:
        """Two or three words such as `hidden copper bell`."""
        rng = self.rng
        adjective = rng.choice((*ADJECTIVES, *COLOURS)) if rng.random() < 0.8 else rng.choice(self.words)
        middle = f"{rng.choice(self.nouns)} " if rng.random() < 0.25 else ""
        return f"{adjective} {middle}{rng.choice(self.nouns)}"

    def place_in(self) -> str:
        rng = self.rng
        if rng.random() < 0.2:
            return f"on {rng.choice(('shelf', 'rack', 'floor', 'level', 'deck'))} {rng.randint(1, 40)}"
        return f"{rng.choice(PREPOSITIONS)} the {self.phrase()}"

    def cause(self) -> str:
        rng = self.rng
        noun = rng.choice(self.nouns)
        return rng.choice(
            (f"a {rng.choice(('cracked', 'worn', 'loose', 'blocked', 'faulty', 'missing'))} {noun}", f"a {noun} fire",
             f"water in the {noun}", f"the {self.phrase()}", f"a leak in the {noun}", f"an expired {noun}")
        )  # fmt: skip

    def date(self) -> str:
        rng = self.rng
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1780, 2060)
        name = MONTHS[month - 1]
        return rng.choice(
            (f"{day} {name} {year}", f"{name} {day}, {year}", f"{year}-{month:02}-{day:02}", f"{day} {name}",
             f"{name} {year}", f"{name} {day}", f"{day:02}.{month:02}.{year}")
        )  # fmt: skip

    def number(self, low: int, high: int) -> str:
        """A number, log-uniform between the bounds, sometimes with a fraction or thousands separators."""
        value = low * (high / low) ** self.rng.random()
        if high <= 500 and self.rng.random() < 0.3:
            return f"{value:.1f}"
        return f"{round(value):,}" if self.rng.random() < 0.6 else str(round(value))

    def measure(self, low: int, high: int, *units: str) -> str:
        """A number with one of these units, now and then with a thing that is counted in their place."""
        unit = f"{self.rng.choice(self.nouns)}s" if self.rng.random() < 0.1 else self.rng.choice(units)
        return f"{self.number(low, high)} {unit}"

    def money(self) -> str:
        amount = self.number(2, 90_000)
        sign = self.rng.choice("$€£")
        unit = self.rng.choice(words("euros,dollars,crowns,francs,pounds,EUR,million euros,thalers", ","))
        return f"{sign}{amount}" if self.rng.random() < 0.4 else f"{amount} {unit}"

    def clock(self) -> str:
        hour, minute = self.rng.randint(0, 23), self.rng.choice((0, 15, 30, 45, self.rng.randint(0, 59)))
        if self.rng.random() < 0.3:
            return f"{hour % 12 + 1}:{minute:02} {self.rng.choice(('am', 'pm', 'a.m.', 'p.m.'))}"
        return f"{hour:02}:{minute:02}"

    def hours(self) -> str:
        return f"{self.rng.choice(('from ', 'daily from ', ''))}{self.rng.randint(6, 11)}:00 to {self.clock()}"

    def identifier(self) -> str:
        rng = self.rng
        text = f"{rng.choice(self.words)}{rng.choice('_-_.')}{rng.choice(self.nouns)}"
        return text.upper().replace("-", "_") if rng.random() < 0.3 else text

    def frequency(self) -> str:
        rng = self.rng
        span = rng.choice(("day", "week", "month", "year", "hour", "season"))
        if rng.random() < 0.5:
            return f"{rng.choice(('once a', 'twice a', 'three times a', 'every second'))} {span}"
        return f"every {rng.randint(2, 90)} {span}s"

    def room(self) -> str:
        rng = self.rng
        return rng.choice(
            (f"Room {rng.randint(1, 499)}", f"the {self.word()} Room", f"room {rng.choice('ABCDEFG')}{rng.randint(1, 40)}",
             f"Hall {rng.randint(1, 12)}", f"the {self.phrase()} hall", f"{self.word()} Hall")
        )  # fmt: skip


VALUES: dict[str, Callable[[Names], str]] = {
    "frequency": Names.frequency,
    "metres": lambda n: n.measure(2, 9_000, "m", "metres", "m", "feet", "ft"),
    "km": lambda n: n.measure(1, 4_000, "km", "miles", "kilometres"),
    "cm": lambda n: n.measure(1, 400, "cm", "mm", "inches", "centimetres", "millimetres"),
    "area": lambda n: n.measure(3, 90_000, "m2", "square metres", "hectares", "km2", "square kilometres", "acres"),
    "count": lambda n: n.number(2, 900),
    "big": lambda n: n.number(500, 9_000_000),
    "kg": lambda n: n.measure(1, 9_000, "kg", "g", "tonnes", "lb", "kilograms", "grams", "pounds"),
    "colour": Names.colour,
    "place_in": Names.place_in,
    "speed": lambda n: n.measure(3, 400, "knots", "km/h", "mph", "kilometres an hour"),
    "code": Names.code,
    "town": Names.word,
    "word": Names.syllables,
    "language": Names.syllables,
    "person": Names.person,
    "org": Names.org,
    "money": Names.money,
    "phone": lambda n: f"0{n.rng.randint(20, 999)} {n.rng.randint(100000, 9999999)}",
    "ext": lambda n: str(n.rng.randint(100, 99999)),
    "email": lambda n: f"{n.word().lower()}@{n.syllables().lower()}.{n.rng.choice(('org', 'com', 'net'))}",
    "phrase": Names.phrase,
    "job": lambda n: n.rng.choice(JOBS),
    "food": lambda n: n.rng.choice(FOODS),
    "animal": lambda n: n.rng.choice(ANIMALS),
    "hobby": lambda n: n.rng.choice(HOBBIES),
    "date": Names.date,
    "room": Names.room,
    "clock": Names.clock,
    "secret": Names.secret,
    "percent": lambda n: n.number(1, 100) + n.rng.choice(("%", " %", " percent", " per cent")),
    "weekday": lambda n: n.rng.choice(WEEKDAYS),
    "power": lambda n: n.measure(1, 900, "kW", "W", "watts", "kilowatts", "horsepower"),
    "volt": lambda n: n.measure(5, 9_000, "V", "volts"),
    "temp": lambda n: n.measure(2, 2_000, "°C", "degrees", "K", "degrees Celsius"),
    "pressure": lambda n: n.measure(1, 300, "bar", "kPa", "psi"),
    "rpm": lambda n: n.measure(20, 20_000, "rpm"),
    "days": lambda n: n.measure(2, 300, "days", "weeks", "working days", "hours"),
    "liquid": lambda n: n.rng.choice(LIQUIDS),
    "months": lambda n: n.measure(2, 60, "months", "years"),
    "material": lambda n: n.rng.choice(MATERIALS),
    "country": Names.syllables,
    "year": lambda n: str(n.rng.randint(1200, 2099)),
    "ip": lambda n: ".".join(str(n.rng.randint(1, 254)) for _ in range(4)),
    "port": lambda n: str(n.rng.randint(80, 65000)),
    "os": lambda n: f"{n.rng.choice(OS)} {n.rng.randint(1, 24)}",
    "gb": lambda n: n.measure(2, 900, "GB", "TB", "MiB", "gigabytes"),
    "version": lambda n: ".".join(str(n.rng.randint(0, 30)) for _ in range(n.rng.randint(2, 3))),
    "identifier": Names.identifier,
    "seconds": lambda n: n.measure(1, 900, "seconds", "ms", "s", "minutes"),
    "language_code": lambda n: n.rng.choice(LANGUAGES),
    "filename": lambda n: f"{n.identifier().lower()}.{n.rng.choice(('log', 'yaml', 'conf', 'txt', 'ini'))}",
    "minutes": lambda n: n.measure(2, 240, "minutes", "min"),
    "years": lambda n: n.measure(1, 200, "years"),
    "hours": Names.hours,
    "latin": lambda n: f"{n.syllables()} {n.syllables().lower()}us",
    "density": lambda n: n.measure(1, 20, "g/cm3", "kg/l"),
    "platform": lambda n: f"{n.rng.randint(1, 24)}{n.rng.choice(('', 'a', 'b'))}",
    "month": lambda n: n.rng.choice(MONTHS),
    "street": lambda n: f"{n.rng.randint(1, 240)} {n.word()} {n.rng.choice(('Street', 'Road', 'Lane', 'Square'))}",
    "medicine": lambda n: n.rng.choice(MEDICINES),
    "dose": lambda n: n.measure(1, 900, "mg", "ml", "drops", "milligrams", "millilitres", "litres"),
    "cause": Names.cause,
    "place_rel": lambda n: f"{n.rng.choice(('north of', 'south of', 'on the coast of', 'near', 'west of'))} {n.word()}",
}
