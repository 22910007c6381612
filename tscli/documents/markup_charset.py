"""Which encoding an HTML page is in, by the standard's rules, and what else it is where it says something wrong of itself."""

from __future__ import annotations

import re

from tscli.documents.charset import BOMS, decode, decoded, is_utf8, wide_encoding

META = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
XML = re.compile(rb"^\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']\s*([\w.:+-]+)", re.IGNORECASE)
COMMENTS = re.compile(rb"<!--.*?-->", re.DOTALL)
PRESCAN_BYTES = 8192  # browsers look at 1,024 and go on at what is told later
SURELY_UTF8 = 3  # whole characters beyond ASCII, none broken, whatever a page says of itself
# What the standard means by names that are narrower in Python.
WIDER = {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}


def decoded_page(data: bytes, encoding: str | None, given: str | None) -> tuple[str, str, str | None]:
    """The page's characters by the standard's order: mark, what was said outside, what it says inside; UTF-8, a guess."""
    import webencodings

    name = label = None
    marked = any(data.startswith(bom) for bom, _ in BOMS) or wide_encoding(data) is not None
    if not marked:
        label = encoding or _declared(data)
        found = webencodings.lookup(label) if label else None
        name = WIDER.get(found.codec_info.name, found.codec_info.name) if found else None
        if name and name.startswith(("utf-16", "utf-8")):  # a page that can be read so far is not of two bytes
            name = None
        if found is not None and found.name == "x-user-defined":
            name = "cp1252"
    if name and not (_has_whole(data) and is_utf8(data) and not _is_broken(data)):
        page = decoded(data, name)
    else:
        page = decode(data, given)
    wrong = name is None and label and not page.encoding.startswith("utf-8")
    warning = f"declares itself {label}, but is not; read as {page.encoding}" if wrong else page.warning
    return page.text, page.encoding, warning


def _declared(data: bytes) -> str | None:
    head = COMMENTS.sub(b"", data[:PRESCAN_BYTES])
    found = META.search(head) or XML.search(head)
    return found[1].decode("ascii", errors="replace") if found else None


def _has_whole(data: bytes) -> bool:
    return len(re.findall(rb"[\xc2-\xf4][\x80-\xbf]", data[: 1 << 20])) >= SURELY_UTF8


def _is_broken(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False
