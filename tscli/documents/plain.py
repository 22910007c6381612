"""Bytes of text files, Markdown, source code, CSV, JSON to clean text. Knows nothing of files; runs in the worker process."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from charset_normalizer import from_bytes

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE_BYTES = 1 << 16
REPLACEMENT = "\ufffd"
SURROGATES = re.compile("[\ud800-\udfff]")
BROKEN_SHARE = 20  # UTF-8 stays UTF-8 where at most one in so many of its characters beyond ASCII is broken


@dataclass(frozen=True)
class Decoded:
    """Text, the encoding that it was in, and what was lost in decoding it."""

    text: str
    encoding: str
    warning: str | None = None


def is_binary(head: bytes) -> bool:
    """ripgrep's rule: a NUL byte near the beginning, unless a byte order mark says that it is wide text."""
    return b"\0" in head and not any(head.startswith(bom) for bom, _ in BOMS)


def decode(data: bytes) -> Decoded:
    """Text by byte order mark, strict UTF-8, UTF-8 with a few broken bytes, what the statistics say, cp1252; in this order."""
    for bom, name in BOMS:
        if data.startswith(bom):
            return _decoded(data, name)
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        mended = _decoded(data, "utf-8")
    broken = mended.text.count(REPLACEMENT)
    if broken * BROKEN_SHARE <= sum(map(len, re.findall(r"[^\x00-\x7f]+", mended.text))):
        return mended
    name = _guess(data)
    try:
        return Decoded(data.decode(name), name)
    except (UnicodeDecodeError, LookupError):
        return _decoded(data, "cp1252")


def clean(text: str) -> str:
    """No NULs, no lone surrogates, \\n as the only line end, no spaces at the ends of lines."""
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    if SURROGATES.search(text):  # pairs become the character that they mean, single ones the replacement character
        text = text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).strip("\n")


def _decoded(data: bytes, name: str) -> Decoded:
    text = data.decode(name, errors="replace")
    broken = text.count(REPLACEMENT) - data.count(REPLACEMENT.encode()) * name.startswith("utf-8")
    warning = f"{broken} places are not valid {name}; each is shown as {REPLACEMENT}" if broken > 0 else None
    return Decoded(text, name, warning)


def _guess(data: bytes) -> str:
    """The encoding by the lines that are not plain ASCII; where others fit no better, cp1252 is the likeliest by far."""
    telling = b"\n".join(line for line in data.split(b"\n") if not line.isascii())
    cut = telling.rfind(b"\n", 0, SAMPLE_BYTES) if len(telling) > SAMPLE_BYTES else len(telling)
    matches = list(from_bytes(telling[: cut if cut > 0 else SAMPLE_BYTES]))
    if not matches:
        return "cp1252"
    best = matches[0]
    for match in matches:
        as_good = match.chaos <= best.chaos and match.coherence >= best.coherence
        if as_good and "cp1252" in match.could_be_from_charset:
            return "cp1252"
    return best.encoding
