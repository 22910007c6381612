"""Files made to do harm: PDFs built object by object, bombs, and mutations of good files. Repeatable by seed."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence

CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"
NUMBERS = (b"0", b"-1", b"1", b"65536", b"4294967295", b"4294967296", b"99999999999999999999", b"1e308", b"0.0000001")
TOKENS = (b"<<", b">>", b"[", b"]", b"obj", b"endobj", b"stream", b"endstream", b"R", b"/Kids", b"/Length", b"(", b")", b"BT")


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalog."""
    out, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(out))
    return out + head + table + tail


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data)


def pages_of(kids: bytes, count: int, content: bytes = b"BT /F 12 Tf 72 700 Td (Hello.) Tj ET") -> bytes:
    """A PDF whose page tree holds these kids and says that they are so many; object 3 is a page with this content."""
    return pdf_of([CATALOG, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, kids), PAGE, stream(content), FONT])


def page_tree(levels: int) -> bytes:
    """Ten pages on each level, all of them the next level: ten to the power of `levels` pages in a few hundred bytes."""
    objects = [CATALOG.replace(b"2 0 R", b"6 0 R"), b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", PAGE, stream(b""), FONT]
    for level in range(levels):
        child = 7 + level if level < levels - 1 else 3
        count = 10 ** (levels - level)
        objects.append(b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, b"%d 0 R " % child * 10))
    return pdf_of(objects)


def packed_twice(num_bytes: int) -> bytes:
    """A page whose content is so many spaces, packed by a factor of a million."""
    packer = zlib.compressobj(9)
    once = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(num_bytes >> 20)) + packer.flush()
    data = zlib.compress(once, 9)
    objects = [CATALOG, b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", PAGE]
    return pdf_of([*objects, stream(data, b"/Filter [/FlateDecode /FlateDecode]"), FONT])


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    """A PDF with an object that is nested so deep."""
    return pdf_of([CATALOG, b"<< /Type /Pages /Count 1 /Kids [3 0 R] /X %s%s >>" % (opening * depth, closing * depth), PAGE])


def recursive_form() -> bytes:
    """A page that draws a form which draws itself."""
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 4 0 R >> >>"
    page = PAGE.replace(b"/Contents 4 0 R", b"/Contents 6 0 R").replace(b"<< /Font", b"<< /XObject << /X 4 0 R >> /Font")
    drawn = stream(b"/X Do /X Do", form)
    return pdf_of([CATALOG, b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", page, drawn, FONT, stream(b"/X Do")])


BOMBS = {
    "count-lies.pdf": pages_of(b"3 0 R", 10**9),
    "count-negative.pdf": pages_of(b"3 0 R", -1),
    "cycle.pdf": pages_of(b"3 0 R 2 0 R", 2),
    "parent-of-itself.pdf": pdf_of([CATALOG, b"<< /Type /Pages /Count 1 /Kids [2 0 R] /Parent 2 0 R >>"]),
    "length-of-itself.pdf": pdf_of([CATALOG, b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", PAGE, b"<< /Length 4 0 R >>", FONT]),
    "tree.pdf": page_tree(8),
    "packed.pdf": packed_twice(1 << 30),
    "deep-lists.pdf": nested(b"[", b"]", 100_000),
    "deep-dictionaries.pdf": nested(b"<< /A ", b">>", 100_000),
    "recursive-form.pdf": recursive_form(),
    "deep.html": b"<div>" * 200_000 + b"text",
    "unclosed.html": b"<a <b <c " * 100_000,
    "entities.html": b"&" * 500_000 + b"&#9999999999;" * 1000,
    "deep.json": b"[" * 1_000_000,
    "one-word.txt": b"a" * 2_000_000,
    "combining.txt": ("e" + "\u0301" * 500_000).encode(),
    "escapes.txt": b"\x1b]0;title\x07\x1b[2J\x9b" * 10_000,
}


def mutated(data: bytes, others: Sequence[bytes], choose: random.Random) -> bytes:
    """The file with up to eight changes, of bytes, of numbers, of PDF's own words, of whole blocks."""
    out = bytearray(data)
    for _ in range(choose.randint(1, 8)):
        at, size = choose.randrange(len(out) + 1), min(len(out), int(choose.paretovariate(0.5)))
        match choose.randrange(7):
            case 0 if out:
                out[choose.randrange(len(out))] ^= 1 << choose.randrange(8)
            case 1:
                out[at : at + size] = choose.randbytes(size)
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[at : at + min(size, 4096)] * choose.randint(1, 9)
            case 4:
                other = choose.choice(others)
                start = choose.randrange(len(other))
                out[at : at + size] = other[start : start + size]
            case 5:
                if numbers := list(re.finditer(rb"\d+", out)):
                    found = choose.choice(numbers)
                    out[found.start() : found.end()] = choose.choice(NUMBERS)
            case _:
                out[at:at] = choose.choice(TOKENS)
    return bytes(out)
