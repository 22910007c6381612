"""Bytes to characters: which encoding, and how many places were lost. Knows nothing of files; runs in the worker process."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass, replace

from charset_normalizer import from_bytes

from tscli.documents.latin import latin_encoding

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE_BYTES = 1 << 16
REPLACEMENT = "\ufffd"
MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
HALVES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # of characters, as some programs write them: broken, but UTF-8's own way
NULS = re.compile(rb"\x00+")
CONTROLS = re.compile(rb"[\x01-\x07\x0e-\x1a\x1c-\x1f]")
CONTROLS_SHARE = 0.02  # of its bytes, and it is no text
NULS_SHARE = 1 / 8  # runs of NULs per other byte; text that was cut by a crash has few, in long runs
# Wide text without a mark: nearly all of its characters are letters, digits, spaces and punctuation, a few of them these.
# What terminals and printers take for an order, not for a letter.
TERMINAL = re.compile(rb"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()][0-9AB]|[=>78DEHM])")
ISO_2022_JP = re.compile(rb"\x1b\$[@B]|\x1b\([IJ]|\x1b\$\(D")
# What text says of its own encoding: XML, source code, style sheets, catalogues of translations, LaTeX.
DECLARED = re.compile(
    rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)|coding[:=]\s*([\w.-]+)|@charset\s+["']([\w.-]+)|charset\s*=\s*["']?([\w.-]+)"""
    rb"""|\\usepackage\[([\w-]+)\]\{inputenc\}"""
)
DECLARED_BYTES = 2048
LATEX = {"ansinew": "cp1252", "applemac": "mac_roman", "latin9": "iso8859-15"}
SHIFTED = ("iso2022", "hz", "utf-7")  # ASCII throughout, and mean other letters by it
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
SPACING = re.compile(r"[ \n\u3000-\u3002\uff0c\uff0e\u3041-\u30ff]")
SPACING_SHARE, LETTERS_SHARE = 0.02, 0.98
# Scripts that the second opinion is heard on: its Latin guesses from few words are the weaker ones.
SCRIPTS = ("CYRILLIC", "HEBREW", "GREEK", "ARABIC", "THAI", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "ARMENIAN", "GEORGIAN")
SCRIPT_SHARE = 0.9
# Signs within words: letters of another encoding.
TORN = re.compile(r"[^\W\d_][\u00a1-\u00a9\u00ac-\u00b4\u00b6\u00b8\u00b9\u00bc-\u00bf\u00d7\u00f7][^\W\d_]")
ASIAN = "\u2e80-\ud7ff\uf900-\ufaff\uff66-\uffdc"
BEYOND = re.compile(rb"[\x80-\xff]")
FEW = 40  # letters beyond ASCII, of which statistics say little
TURKISH_CODES = ("cp1254", "iso8859-9")
TURKISH = re.compile("[ışğİŞĞ]")


@dataclass(frozen=True)
class Decoded:
    """Text, the encoding that it was in, and what was lost in decoding it."""

    text: str
    encoding: str
    warning: str | None = None


def decode(data: bytes, encoding: str | None = None) -> Decoded:
    """Text by byte order mark, by the shape of wide text, the orders of ISO-2022-JP, UTF-8 (with broken places, where most are
    whole), the encoding that is given for the rest, what the text says of itself, the statistics, cp1252; in this order.

    encoding: a Python codec's name. One that ASCII is not part of (UTF-16, ISO-2022-JP) goes before all but the mark.
    """
    name = _by_shape(data, encoding) or encoding or declared(data)
    return decoded(data, name) if name else _by_guess(data)


def _by_shape(data: bytes, encoding: str | None) -> str | None:
    """The encoding that the bytes show without statistics."""
    if mark := next((name for bom, name in BOMS if data.startswith(bom)), None):
        return mark
    if encoding is not None and not is_over_ascii(encoding):
        return encoding
    if wide := wide_encoding(data):
        return wide
    if is_iso_2022_jp(data):
        return "iso2022_jp_2"
    return "utf-8" if is_utf8(data) else None


def decoded(data: bytes, name: str) -> Decoded:
    """Text by this encoding; what is not valid in it becomes the replacement character, and is counted."""
    try:
        return Decoded(data.decode(name), name)
    except UnicodeDecodeError:
        text = data.decode(name, errors="replace")
    except ValueError:  # a codec that has an error of its own kind
        name = "cp1252"
        text = data.decode(name, errors="replace")
    broken = text.count(REPLACEMENT) - data.count(REPLACEMENT.encode()) * name.startswith("utf-8")
    places = "1 place is" if broken == 1 else f"{broken:,} places are"
    warning = f"{places} not valid {name}, shown as {REPLACEMENT}" if broken > 0 else None
    return Decoded(text, name, warning)


def is_iso_2022_jp(data: bytes) -> bool:
    """Whether it is Japanese in seven bits, which switches between alphabets."""
    if b"\x1b" not in data or not data.isascii() or not ISO_2022_JP.search(data):
        return False
    try:
        return not data.decode("iso2022_jp_2").isascii()
    except UnicodeDecodeError:
        return False


def declared(data: bytes) -> str | None:
    """The encoding that a text near its beginning says to be in, where that is true; None where it says nothing."""
    found = DECLARED.search(data[:DECLARED_BYTES])
    if found is None:
        return None
    label = next(group for group in found.groups() if group).decode("ascii", errors="replace").lower()
    try:
        name = codecs.lookup(LATEX.get(label, label)).name
        text = data.decode(name)
    except (LookupError, ValueError):  # no such encoding, or it is not in it
        return None
    return name if is_over_ascii(name) and not re.search("[\x80-\x9f]", text) else None


def is_utf8(data: bytes) -> bool:
    """Whether it is UTF-8, if with broken places: whole characters beyond ASCII are at least as many.

    Letters of an older encoding make one of these by chance only; of East Asian ones few of a text's do.
    """
    try:
        data.decode("utf-8")
        return True
    except UnicodeDecodeError:
        pass
    data = HALVES.sub(b"?", data)
    whole = len(MULTIBYTE.findall(data))
    broken = data.decode("utf-8", errors="replace").count(REPLACEMENT) - data.count(REPLACEMENT.encode())
    return 0 < whole >= broken


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark; None for all else."""
    sample = data[:SAMPLE_BYTES]
    if b"\0" not in sample and SPACING.search(sample.decode("utf-8", errors="replace")):
        return None  # there are spaces or line ends, and they are of one byte
    best, most = None, SPACING_SHARE
    for name in WIDE:
        width = 2 if "16" in name else 4
        try:
            text = sample[: len(sample) // width * width].decode(name)
        except UnicodeDecodeError as error:
            if error.start < len(sample) - width:  # else half a character at the end of the sample
                continue
            text = sample[: error.start].decode(name)
        share = len(SPACING.findall(text)) / max(1, len(text))
        if share > most and _is_prose(text):
            best, most = name, share
    return best


def _is_prose(text: str) -> bool:
    kinds = [unicodedata.category(char) for char in text if char not in "\t\n\r\ufeff"]
    return sum(kind[0] in "LMNPZS" for kind in kinds) >= LETTERS_SHARE * len(kinds)


def is_binary(data: bytes) -> bool:
    """Whether a file that begins so is no text: control characters, or NULs that are not of wide text or of a cut log."""
    if any(data.startswith(bom) for bom, _ in BOMS):
        return False
    rest = NULS.sub(b"", TERMINAL.sub(b"", data))
    if len(CONTROLS.findall(rest)) > CONTROLS_SHARE * max(1, len(rest)):
        return wide_encoding(data) is None
    if b"\0" not in data:
        return False
    if len(NULS.findall(data)) <= NULS_SHARE * len(rest) and is_utf8(_without_cut(rest)):
        return False
    return wide_encoding(data) is None


def _without_cut(head: bytes) -> bytes:
    """Without the last character, which the end of the sample may have cut."""
    return re.sub(rb"[\xc2-\xf4][\x80-\xbf]{0,2}$", b"", head)


def is_over_ascii(name: str) -> bool:
    """Whether plain ASCII means itself in this encoding."""
    plain = bytes(range(32, 127))
    try:
        return plain.decode(name) == plain.decode("ascii") and not codecs.lookup(name).name.startswith(SHIFTED)
    except ValueError:
        return False


def guessed(data: bytes) -> tuple[str, str]:
    """The encoding by the lines that are not plain ASCII; where others fit no better, cp1252 is the likeliest by far. And
    another one where so few letters do not tell the two apart, or empty."""
    telling = b"\n".join(line for line in data.split(b"\n") if not line.isascii())
    cut = telling.rfind(b"\n", 0, SAMPLE_BYTES) if len(telling) > SAMPLE_BYTES else len(telling)
    sample = telling[: cut if cut > 0 else SAMPLE_BYTES]
    other = _of_another_script(sample)
    latin = None if other in TURKISH_CODES else latin_encoding(sample)
    if latin is not None:
        return latin.encoding, latin.other or ""
    if other is not None:
        return other, ""
    name = _by_statistics(sample)
    return name, ("cp1252" if name == "cp1250" else "cp1250") if len(BEYOND.findall(sample)) < FEW else ""


def _by_guess(data: bytes) -> Decoded:
    """Text by what is likeliest; told where that may be wrong."""
    name, other = guessed(data)
    found = decoded(data, name)
    if not other:
        return found
    guess = f"read as {found.encoding}, a guess from few letters; if they look wrong, try --encoding {other}"
    return replace(found, warning=f"{found.warning}; {guess}" if found.warning else guess)


def _of_another_script(sample: bytes) -> str | None:
    """What chardet says, where that makes words of another script than Latin (or Turkish ones)."""
    import chardet

    name = chardet.detect(sample)["encoding"]
    try:
        text = sample.decode(name) if name else ""
    except (UnicodeDecodeError, LookupError):
        return None
    letters = [char for char in text if char > "\x7f" and unicodedata.category(char)[0] == "L"]
    of_script = sum(unicodedata.name(char, "").startswith(SCRIPTS) for char in letters)
    mixed = re.search(r"[A-Za-z][\u0370-\u06ff]|[\u0370-\u06ff][A-Za-z]", text)
    turkish = name is not None and codecs.lookup(name).name in TURKISH_CODES and len(TURKISH.findall(text)) > 1
    known = turkish or (letters and of_script >= SCRIPT_SHARE * len(letters) and not mixed and not _is_torn(text))
    return codecs.lookup(name).name if name and known else None


def _is_torn(text: str) -> bool:
    """Whether words have signs within them, or most East Asian characters stand right beside a Latin letter."""
    asian, seams = re.findall(f"[{ASIAN}]", text), re.findall(f"(?<=[A-Za-z])[{ASIAN}]|[{ASIAN}](?=[A-Za-z])", text)
    return TORN.search(text) is not None or 2 * len(seams) > len(asian)


def _by_statistics(sample: bytes) -> str:
    matches = [match for match in from_bytes(sample) if not match.encoding.startswith("utf")]  # that was looked at before
    matches = [match for match in matches if not _is_torn(str(match))]
    if not matches:
        return "cp1252"
    best = matches[0]
    for match in matches:
        as_good = match.chaos <= best.chaos and match.coherence >= best.coherence
        if as_good and "cp1252" in match.could_be_from_charset:
            return "cp1252"
    return best.encoding
