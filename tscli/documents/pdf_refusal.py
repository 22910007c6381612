"""Why a file that calls itself a PDF cannot be read, and whether it was mended; by its bytes. Knows no parser."""

from __future__ import annotations

import re
from pathlib import Path

HEADER = re.compile(rb"%PDF-\d")
HEADER_BYTES = 1024  # within which a header is looked for
TAIL_BYTES = 2048
KINDS = (
    (re.compile(rb"\s*(?:<!doctype\s+html|<html|<head|<body)", re.IGNORECASE), "an HTML page, often one that asks to sign in"),
    (re.compile(rb"\s*<\?xml"), "an XML file"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive or an office document"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old office document"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\0|MM\0\*"), "a picture"),
    (re.compile(rb"\x1f\x8b"), "a gzip archive"),
    (re.compile(rb"%!PS"), "a PostScript file"),
    (re.compile(rb"\{\\rtf"), "an RTF document"),
)


def is_pdf(head: bytes, path: Path) -> bool:
    """Whether a file that is not named so is a PDF: its header begins it, or stands on a line of its own behind other bytes
    near the beginning, and its end is a PDF's."""
    if head.lstrip()[:5] == b"%PDF-":
        return True
    if re.search(rb"(?m)^%PDF-\d\.\d\s*$", head[:HEADER_BYTES].replace(b"\r", b"\n")) is None:
        return False
    return b"startxref" in _tail(path) and b"%%EOF" in _tail(path)


def refusal(path: Path, error: Exception) -> str:
    """One line on a file that no parser opens, what was found in it in place of a PDF, and what to do."""
    head, tail, size = _head(path), _tail(path), path.stat().st_size
    if size == 0:
        return "cannot be read: it is empty (0 bytes)"
    if HEADER.search(head) is None:
        for pattern, kind in KINDS:
            if pattern.match(head):
                return f"cannot be read: it is named like a PDF but is {kind}; get the document itself"
        return "cannot be read: it is named like a PDF but does not begin with %PDF; get the document itself"
    if b"%%EOF" not in tail and b"startxref" not in tail:
        return f"cannot be read: it is cut off after {size:,} bytes; copy or download it again"
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return f"cannot be read: it is damaged beyond repair ({said}); create it again, or repair it with qpdf"


def is_mended(path: Path) -> bool:
    """Whether a file that opens has no table where it says that its table of objects is: parsers then make one anew."""
    found = re.findall(rb"startxref\s+(\d+)", _tail(path))
    if not found:
        return True
    header = HEADER.search(_head(path))
    with path.open("rb") as file:
        for offset in {int(found[-1]), int(found[-1]) + (header.start() if header else 0)}:
            if offset >= path.stat().st_size:
                continue
            file.seek(offset)
            if re.match(rb"\s*(?:xref|\d+\s+\d+\s+obj)", file.read(64)):
                return False
    return True


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read()
