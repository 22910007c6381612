"""Text files, Markdown, source code, CSV, JSON and HTML to one page of text. Runs in the worker process."""

from __future__ import annotations

import codecs
import re

from bs4 import BeautifulSoup, NavigableString
from charset_normalizer import from_bytes

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DROPPED = ("script", "style", "template", "noscript", "head")
BLOCKS = [
    "address",
    "article",
    "aside",
    "blockquote",
    "caption",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "thead",
    "tr",
    "ul",
]
SAMPLE_BYTES = 1 << 16


def is_binary(head: bytes) -> bool:
    """ripgrep's rule: a NUL byte near the beginning, unless a byte order mark says that it is wide text."""
    return b"\0" in head and not any(head.startswith(bom) for bom, _ in BOMS)


def decode(data: bytes) -> tuple[str, str]:
    """Text and the encoding that it was in: byte order mark, strict UTF-8, what the statistics say, cp1252."""
    for bom, name in BOMS:
        if data.startswith(bom):
            return data.decode(name, errors="replace"), name
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        best = from_bytes(data[:SAMPLE_BYTES]).best()
    name = best.encoding if best is not None else "cp1252"
    try:
        return data.decode(name), name
    except (UnicodeDecodeError, LookupError):
        return data.decode("cp1252", errors="replace"), "cp1252"


def clean(text: str) -> str:
    """No NULs, no lone surrogates, \\n as the only line end, no spaces at the ends of lines."""
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")
    return re.sub(r"[ \t]+\n", "\n", text).strip("\n")


def html_text(data: bytes) -> tuple[str, str]:
    """The text of a page, blocks on lines of their own, table cells divided by bars; and its encoding."""
    soup = BeautifulSoup(data, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for tag in soup(DROPPED):
        tag.decompose()
    for text in soup.find_all(string=True):
        if text.find_parent("pre") is None:
            text.replace_with(NavigableString(re.sub(r"\s+", " ", str(text))))
    for line_break in soup("br"):
        line_break.replace_with("\n")
    for cell in soup(["td", "th"]):
        cell.append(" | ")
    for block in soup(BLOCKS):
        block.insert_before("\n")
        block.append("\n")
    lines = [line.strip().removesuffix("|").rstrip() for line in soup.get_text().split("\n")]
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    shown = f"{title}\n\n{body}" if title and not body.startswith(title) else body
    return shown, soup.original_encoding or "utf-8"
