"""Text files, Markdown, source code, CSV, JSON to clean text. Knows nothing of files; runs in the worker process."""

from __future__ import annotations

import re
from collections.abc import Callable

from tscli.documents.charset import decode, is_binary
from tscli.documents.invisible import hidden, visible

__all__ = ["clean", "decode", "is_binary", "text_of", "without_data"]

MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")
SURROGATES = re.compile("[\ud800-\udfff]")
LONGEST_DATA = 200  # characters of a file that stands inside a text; behind them it is left out
DATA_URI = re.compile(rf"\bdata:([\w.+-]+/[\w.+-]+)?(;[\w.+=-]+)*,[^\s\"'<>()\[\]`]{{{LONGEST_DATA},}}", re.IGNORECASE)
FENCES = re.compile(r"^( {0,3})(`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}\2[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
SVG = re.compile(r"<svg\b[^>]*>.*?</svg\s*>", re.IGNORECASE | re.DOTALL)
NULS = re.compile("\0+")
TERMINAL = re.compile("\x1b(?:\\[[0-9;:?]*[ -/]*[@-~]|\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)|[()][0-9AB]|[=>78DEHM])")
OVERSTRUCK = re.compile("[^\n\b]\b")


def text_of(data: bytes, suffix: str = "", encoding: str | None = None) -> tuple[str, str, tuple[str, ...]]:
    """A file's text, its encoding, and what was left out or lost on the way.

    encoding: for what is neither marked nor UTF-8. Raises ValueError where it cannot be decoded at all.
    """
    found = decode(data, encoding)
    text, warnings = found.text, [found.warning] if found.warning else []
    if num_nuls := text.count("\0"):
        warnings.append(f"{num_nuls:,} NUL bytes left out; was the file written to its end?")
        text = NULS.sub(_gap, text)
    text = _typed(text)
    text, num_left_out = without_data(text)
    if suffix in MARKDOWN:
        text = outside_of_fences(text, lambda part: SVG.sub(_words, part))
    if num_left_out:
        warnings.append(f"{num_left_out:,} characters of pictures and other files inside the text left out")
    if what := hidden(text):
        warnings.append(what)
    return clean(text), found.encoding, tuple(warnings)


def _typed(text: str) -> str:
    """What a terminal or a printer shows: without colours and moves, and with the last of the letters on each place."""
    text = TERMINAL.sub("", text) if "\x1b" in text else text
    return OVERSTRUCK.sub("", text) if "\b" in text else text


def clean(text: str) -> str:
    """No NULs, no lone surrogates, nothing invisible, \\n as the only line end, no spaces at the ends of lines."""
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    if SURROGATES.search(text):  # pairs become the character that they mean, single ones the replacement character
        text = text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")
    text = visible(text)
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).strip("\n")


def without_data(text: str) -> tuple[str, int]:
    """The text without the files that stand in it as data URIs, and how many characters were left out."""
    if "data:" not in text.lower():
        return text, 0
    shorter = DATA_URI.sub(lambda uri: f"data:{uri[1] or ''},\u2026", text)
    return shorter, len(text) - len(shorter)


def outside_of_fences(text: str, change: Callable[[str], str]) -> str:
    """Markdown with all but its fenced code changed."""
    parts, at = [], 0
    for fence in FENCES.finditer(text):
        parts += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(text[at:])])


def _words(svg: re.Match[str]) -> str:
    """What a drawing says, without its lines."""
    from tscli.documents.markup import html_text

    return html_text(svg[0].encode(errors="replace"), "utf-8").text


def _gap(nuls: re.Match[str]) -> str:
    """Nothing, or a space between what would be glued together."""
    before, behind = nuls.string[: nuls.start()][-1:], nuls.string[nuls.end() : nuls.end() + 1]
    return " " if before.strip() and behind.strip() else ""
