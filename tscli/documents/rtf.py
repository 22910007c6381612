"""Rich Text Format to text: code pages by font, tables, notes; without hidden text, pictures, settings.

Runs in the worker process.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field, replace

TOKENS = re.compile(rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL)
# fmt: off
SKIPPED = frozenset(b"""colortbl stylesheet info pict object objdata themedata colorschememapping datastore listtable
listoverridetable revtbl rsidtbl generator fldinst xmlnstbl latentstyles nonshppict filetbl datafield template mmathPr
wgrffmtfilter
bkmkstart bkmkend pgptbl userprops private atrfstart atrfend atnid atnref pgdsctbl levelnumbers leveltext listname picprop sp
nextfile blipuid shpinst""".split())
SIGNS = {
    b"par": "\n", b"line": "\n", b"page": "\n", b"sect": "\n", b"column": "\n", b"tab": "\t", b"emdash": "\u2014",
    b"endash": "\u2013", b"lquote": "\u2018", b"rquote": "\u2019", b"ldblquote": "\u201c", b"rdblquote": "\u201d",
    b"bullet": "\u2022", b"emspace": " ", b"enspace": " ", b"qmspace": " ", b"cell": " | ", b"nestcell": " | ",
    b"row": "\n", b"nestrow": "\n", b"softline": "\n",
}
CHARSETS = {  # of a font: Python's name of its encoding
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk", 136: "big5", 161: "cp1253",
    162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 255: "cp437",
}
# fmt: on
PAGES = {b"ansi": "cp1252", b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850"}
NOTES = {b"footnote": "Note: ", b"annotation": "Comment: ", b"header": "", b"headerl": "", b"headerr": "", b"headerf": ""}
NOTES |= {b"footer": "", b"footerl": "", b"footerr": "", b"footerf": ""}
MOST_GROUPS = 10_000  # in each other


@dataclass(frozen=True)
class _Group:
    """What holds until a group ends. place: where its text goes, 0 is the body."""

    skipped: bool = False
    hidden: bool = False
    encoding: str = ""
    unicode_skip: int = 1
    place: int = 0
    in_fonts: bool = False


def rtf_text(data: bytes) -> str:
    """The text of a document, its headers in front, its notes and footers behind. Broken files give what can be made out."""
    reader = _Reader(data)
    reader.run()
    return reader.text()


@dataclass
class _Reader:
    data: bytes
    places: list[list[str]] = field(default_factory=lambda: [[]])
    kinds: list[bytes] = field(default_factory=lambda: [b""])
    fonts: dict[int, str] = field(default_factory=dict)
    page: str = "cp1252"
    group: _Group = _Group()
    groups: list[_Group] = field(default_factory=list)
    pending: bytearray = field(default_factory=bytearray)  # letters of the code page, until there are whole characters
    to_skip: int = 0  # stand-ins behind a Unicode character
    font: int = 0
    optional: bool = False

    def run(self) -> None:
        at = 0
        while match := TOKENS.match(self.data, at):
            at = match.end()
            word, number, byte, sign, brace, text = match.groups()
            if byte is not None:
                self._bytes(bytes([int(byte, 16)]))
            elif text is not None:
                self._bytes(text)
            elif word is not None:
                value = int(number) if number is not None else None
                if word == b"bin":
                    at += max(0, value or 0)
                self._word(word, value)
            elif brace is not None:
                self._brace(brace)
            elif sign is not None:
                self._sign(sign)

    def text(self) -> str:
        self._flush()
        parts: list[tuple[int, str]] = []
        for kind, pieces in zip(self.kinds, self.places, strict=True):
            words = "".join(pieces)
            words = words.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            words = re.sub(r" \| *(?=\n|$)", "", words).strip("\n")
            if words.strip():
                parts.append((0 if kind.startswith(b"header") else 1 if not kind else 2, NOTES.get(kind, "") + words))
        ordered = [words for _, words in sorted(parts, key=lambda part: part[0])]
        return "\n".join(dict.fromkeys(ordered))

    def _word(self, word: bytes, value: int | None) -> None:
        self.optional, optional = False, self.optional
        if word == b"u" and value is not None:
            self._add(chr(value & 0xFFFF) if value < 0x10000 else "")
            self.to_skip = self.group.unicode_skip
            return
        if word == b"uc":
            self.group = replace(self.group, unicode_skip=max(0, min(value or 0, 99)))
        elif word == b"fonttbl":
            self.group = replace(self.group, skipped=True, in_fonts=True)
        elif word in SKIPPED or (optional and word not in (b"shppict", b"fldrslt", b"nesttableprops", b"shptxt")):
            self._flush()
            self.group = replace(self.group, skipped=True)
        elif word in NOTES:
            self._flush()
            self.places.append([])
            self.kinds.append(word)
            self.group = replace(self.group, place=len(self.places) - 1)
        elif word in (b"v", b"deleted"):
            self._flush()
            self.group = replace(self.group, hidden=value != 0)
        elif word in (b"plain", b"f", b"fcharset", b"ansicpg", *PAGES):
            self._encoding(word, value)
        elif word == b"shptxt":
            self.group = replace(self.group, skipped=False)
            self._add("\n")
        elif word in SIGNS:
            self.to_skip = 0
            self._add(SIGNS[word])

    def _encoding(self, word: bytes, value: int | None) -> None:
        self._flush()
        if word == b"plain":
            self.group = replace(self.group, encoding="", hidden=False)
        elif word == b"f" and self.group.in_fonts:
            self.font = value or 0
        elif word == b"f":
            self.group = replace(self.group, encoding=self.fonts.get(value or 0, ""))
        elif word == b"fcharset" and self.group.in_fonts and value in CHARSETS and value:
            self.fonts[self.font] = CHARSETS[value]
        elif word == b"ansicpg" and value:
            self.page = _known(f"cp{value}") or self.page
        elif word in PAGES and word != b"ansi":
            self.page = PAGES[word]

    def _brace(self, brace: bytes) -> None:
        self._flush()
        self.optional, self.to_skip = False, 0
        if brace == b"{":
            if len(self.groups) < MOST_GROUPS:
                self.groups.append(self.group)
        elif self.groups:
            self.group = self.groups.pop()

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self.optional = True
        elif sign in b"\\{}":
            self._bytes(sign)
        else:
            self._add({b"~": "\u00a0", b"_": "-", b"\n": "\n", b"\r": "\n"}.get(sign, ""))

    def _bytes(self, text: bytes) -> None:
        self.optional = False
        skipped = min(self.to_skip, len(text))
        self.to_skip -= skipped
        if not self.group.skipped:
            self.pending += text[skipped:]

    def _add(self, text: str) -> None:
        self._flush()
        if not self.group.skipped and not self.group.hidden:
            self.places[self.group.place].append(text)

    def _flush(self) -> None:
        if self.pending:
            text = self.pending.decode(self.group.encoding or self.page, errors="replace")
            self.pending.clear()
            if not self.group.hidden:
                self.places[self.group.place].append(text)


def _known(name: str) -> str | None:
    try:
        return codecs.lookup({"cp65001": "utf-8", "cp10000": "mac_roman"}.get(name, name)).name
    except LookupError:
        return None
