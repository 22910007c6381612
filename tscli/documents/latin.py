"""Which of the encodings of Western and Central European languages short text is in, by the letters that each language has.

Statistics need more than a few words: "Kůň" in cp1250 is "Kùò" in cp1252. An encoding fits where all letters beyond ASCII are
those of one language, stand where they may, and no signs stand within words. Knows nothing of files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LETTER = r"[^\W\d_]"
WESTERN = {
    "Catalan": "àçèéíïòóúü", "Danish": "æøåé", "Dutch": "ëïéèöüá", "French": "àâæçéèêëîïôœùûüÿ", "Finnish": "äöåšž",
    "German": "äöüßé", "Icelandic": "áðéíóúýþæö", "Italian": "àèéìòù", "Portuguese": "áâãàçéêíóôõú", "Spanish": "áéíñóúü",
    "Swedish": "åäöé",
}  # fmt: skip
CENTRAL = {
    "Croatian": "čćđšž", "Czech": "áčďéěíňóřšťúůýž", "Hungarian": "áéíóöőúüű", "Polish": "ąćęłńóśźż", "Romanian": "ăâîşţ",
    "Slovak": "áäčďéíĺľňóôŕšťúýž", "German": "äöüßé",
}  # fmt: skip
BALTIC = {"Estonian": "äöüõšž", "Latvian": "āčēģīķļņōŗšūž", "Lithuanian": "ąčęėįšųūž"}
DOS = {name: WESTERN[name] for name in ("Danish", "Dutch", "French", "German", "Italian", "Portuguese", "Spanish", "Swedish")}
CANDIDATES = {
    "cp1252": WESTERN,
    "iso8859-15": WESTERN,
    "cp1250": CENTRAL,
    "iso8859-2": CENTRAL,
    "cp1257": BALTIC,
    "iso8859-13": BALTIC,
    "cp850": DOS,
    "cp437": DOS,
}  # the likeliest first; fmt: skip
SIGNS = "\u00a0\u00ad–—‘’‚“”„…€£§°©®™•«»‹›¿¡ºª·²³½¼¾±×µ¹´"
# Letters that stand at a word's end only, or before some others.
PLACES = {
    "Italian": re.compile(rf"[àèìòù](?={LETTER})", re.IGNORECASE),
    "Portuguese": re.compile(r"ã(?=[^oes\W])|õ(?!e)|à(?=[^s\W])|(?<=[^\W]{2})à", re.IGNORECASE),
    "French": re.compile(rf"ù(?={LETTER})|[èî](?!{LETTER})|(?<!o)ù|(?<={LETTER})à(?={LETTER})", re.IGNORECASE),
    "Catalan": re.compile(rf"(?<={LETTER}[bcdfghjklmnpqrstvwxz])[èò](?!{LETTER})", re.IGNORECASE),
}
ODD = re.compile(
    rf"{LETTER}[^\w\s'’·\u00ad.,:;!?()\[\]/&@+*=<>\"#%$~`^|\\-]+{LETTER}"  # a sign within a word
    rf"|[£¥©ª¹²³¼½¾µ±]{LETTER}|(?<![mM\d\W])[¹²³¼½¾]|(?<![nNº\d\W])º|(?<!\d)º{LETTER}"  # or where no sign stands
    r"|(?<=\d)[^\W\d_a-zA-Z]|[^\W\d_a-zA-Z](?=\d)"  # a letter beside a digit
)
TURNED = re.compile(rf"(?<=[a-z])(?![A-Z])({LETTER})")  # a letter behind a small one, to be small itself
LARGE_SHARE = 0.6  # of the letters of words that have any beyond ASCII; more are of another script


@dataclass(frozen=True)
class Guess:
    """The likeliest encoding, and another one that fits as well and makes another text."""

    encoding: str
    other: str | None


def latin_encoding(data: bytes) -> Guess | None:
    """What these bytes are in by the letters of one language; None where none fits."""
    texts = {name: text for name in CANDIDATES if (text := _text(data, name)) is not None and _fits(text, CANDIDATES[name])}
    if not texts:
        return None
    first, *rest = texts
    return Guess(first, next((name for name in rest if texts[name] != texts[first]), None))


def _text(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return None


def _fits(text: str, languages: dict[str, str]) -> bool:
    beyond = {char for char in text if char > "\x7f"}
    letters = {char for char in beyond if char.isalpha() and char not in "ºªµ"}
    if any(char not in SIGNS for char in beyond - letters) or ODD.search(text) or _is_turned(text) or _is_another_script(text):
        return False
    small = {char.lower() for char in letters}
    return any(small <= set(known) and _in_place(text, name) for name, known in languages.items())


def _is_turned(text: str) -> bool:
    """Whether a capital beyond ASCII stands behind a small letter."""
    return any(found[1].isupper() for found in TURNED.finditer(text))


def _is_another_script(text: str) -> bool:
    words = [word for word in re.findall(rf"{LETTER}+", text) if not word.isascii()]
    num_letters = sum(map(len, words))
    return sum(char > "\x7f" for word in words for char in word) > LARGE_SHARE * num_letters


def _in_place(text: str, language: str) -> bool:
    return language not in PLACES or not PLACES[language].search(text)
