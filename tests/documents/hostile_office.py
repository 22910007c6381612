"""Office files made to do harm: cut, bombs, of another kind than their name says, encrypted, empty, with huge cells."""

from __future__ import annotations

import io
import json
import zipfile
import zlib

from tests.documents.office import docx, epub, opendocument, paragraph, pptx, shape, xlsx, zipped

ENTITIES = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 4096
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\x01\x02\x03" * 2000
MAIL = b"From: a@b.c\nSubject: Fee\nMIME-Version: 1.0\n"

# A small good file of each kind; each says that the fee is five crowns.
GOOD: dict[str, bytes] = {
    "docx": docx(paragraph("The fee is five crowns.")),
    "pptx": pptx(shape("The fee is five crowns.")),
    "xlsx": xlsx({"Fees": '<row r="1"><c r="A1" t="inlineStr"><is><t>The fee is five crowns.</t></is></c></row>'}),
    "odt": opendocument("text", "<text:p>The fee is five crowns.</text:p>"),
    "ods": opendocument(
        "spreadsheet",
        '<table:table table:name="Fees"><table:table-row><table:table-cell><text:p>The fee is five crowns.</text:p>'
        "</table:table-cell></table:table-row></table:table>",
    ),
    "epub": epub({"a.xhtml": "<html><body><p>The fee is five crowns.</p></body></html>"}, ("a.xhtml",)),
    "rtf": rb"{\rtf1\ansi The fee is five crowns.\par}",
    "ipynb": json.dumps(
        {"nbformat": 4, "cells": [{"cell_type": "markdown", "metadata": {}, "source": "The fee is five crowns."}]}
    ).encode(),
    "eml": MAIL + b"\nThe fee is five crowns.\n",
}
# The part that holds the text.
MAIN = {
    "docx": "word/document.xml",
    "pptx": "ppt/slides/slide1.xml",
    "xlsx": "xl/worksheets/sheet1.xml",
    "odt": "content.xml",
    "ods": "content.xml",
    "epub": "OEBPS/a.xhtml",
}


def with_part(kind: str, name: str, content: bytes) -> bytes:
    """A good file of this kind with this in place of one of its parts."""
    with zipfile.ZipFile(io.BytesIO(GOOD[kind])) as package:
        return zipped({each: package.read(each) for each in package.namelist()} | {name: content})


def flagged(kind: str) -> bytes:
    """A good file that says that its parts are encrypted."""
    data = bytearray(GOOD[kind])
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(mark, start + 4)
    return bytes(data)


def _sheet(cells: str) -> bytes:
    return xlsx({"Fees": f'<row r="1">{cells}</row>'})


def _many_slides() -> bytes:
    return with_part(
        "pptx",
        "ppt/presentation.xml",
        b'<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst>'
        + b'<p:sldId id="256" r:id="r1"/>' * 300_000
        + b"</p:sldIdLst></p:presentation>",
    )


def _nested_mail(depth: int) -> bytes:
    data = b"Content-Type: text/plain\n\nwithin"
    for number in range(depth):
        data = b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n%s\n--%d--\n' % (number, number, data, number)
    return MAIL + data


def _overlong_zip() -> bytes:
    """Two gigabytes of spaces in two megabytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        package.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        with package.open("content.xml", "w", force_zip64=True) as part:
            for _ in range(600):
                part.write(b" " * (1 << 20))
    return buffer.getvalue()


REPEATED = (
    '<table:table><table:table-row table:number-rows-repeated="1048576">'
    '<table:table-cell table:number-columns-repeated="16384">'
    "<text:p>x</text:p></table:table-cell></table:table-row></table:table>"
)

# Each must end as a failure.
REFUSED: dict[str, bytes] = {
    **{f"cut.{kind}": GOOD[kind][: len(GOOD[kind]) * 2 // 3] for kind in MAIN},
    **{f"encrypted.{kind}": flagged(kind) for kind in MAIN},
    **{f"old.{kind}": OLE for kind in ("docx", "pptx", "xlsx", "odt")},
    **{f"picture.{kind}": PNG for kind in (*MAIN, "rtf", "ipynb", "eml")},
    **{f"entities.{kind}": with_part(kind, MAIN[kind], f"{ENTITIES}<a>&j;</a>".encode()) for kind in MAIN if kind != "epub"},
    **{f"deep.{kind}": with_part(kind, MAIN[kind], b"<a>" * 1_000_000) for kind in MAIN if kind != "epub"},
    **{f"no-part.{kind}": zipped({"a.txt": "x"}) for kind in MAIN},
    "bomb.odt": _overlong_zip(),
    "cut.ipynb": GOOD["ipynb"][:-20],
    "deep.ipynb": b'{"cells": ' + b"[" * 500_000,
    "list.ipynb": b"[1, 2]",
    "nothing.docx": docx(""),
}
# Each must end in some way, without harm.
ODD: dict[str, bytes] = {
    "sheet.docx": GOOD["xlsx"],
    "entities.epub": with_part("epub", MAIN["epub"], f"{ENTITIES}<html><body>&j;</body></html>".encode()),
    "deep.epub": with_part("epub", MAIN["epub"], b"<div>" * 200_000),
    "cell.xlsx": _sheet(f'<c r="A1" t="inlineStr"><is><t>{"x" * 20_000_000}</t></is></c>'),
    "far.xlsx": _sheet(
        '<c r="XFD1" t="inlineStr"><is><t>far</t></is></c><c r="ZZZZZZ1"><v>1</v></c><c r="A1"><v>1e999</v></c>'
    ),
    "numbers.xlsx": _sheet('<c r="A1" t="s"><v>99999999999</v></c><c r="B1" s="-7"><v>nan</v></c><c r="C1"><v>x</v></c>'),
    "repeated.ods": opendocument("spreadsheet", REPEATED),
    "spaces.odt": opendocument("text", '<text:p>a<text:s text:c="2000000000"/>b</text:p>'),
    "slides.pptx": _many_slides(),
    "groups.rtf": rb"{\rtf1 " + b"{" * 1_000_000 + b"text",
    "binary.rtf": rb"{\rtf1 before\bin2147483647 behind}",
    "unicode.rtf": rb"{\rtf1 \u99999999?\u-1?\'zz\uc999999 a}",
    "nested.eml": _nested_mail(2000),
    "cut.eml": MAIL + b"Content-Transfer-Encoding: base64\n\nVGhlIGZlZSBpcyBma",
    "charset.eml": MAIL + b"Content-Type: text/plain; charset=no-such\n\nThe fee is five crowns.",
    "header.eml": b"Subject: =?utf-8?b?" + b"A" * 500_000 + b"\n\nx",
    "types.ipynb": b'{"cells": [7, null, {"cell_type": [], "source": {"a": 1}, "outputs": "x"}, {"source": [1, 2]}]}',
    "outputs.ipynb": json.dumps(
        {"cells": [{"cell_type": "code", "source": "x", "outputs": [{"output_type": "stream", "text": "y" * 5_000_000}]}]}
    ).encode(),
    "loop.epub": epub({"a.xhtml": "<p>The fee.</p>"}, ("a.xhtml",) * 5000),
    "garbage.docx": b"PK\x03\x04" + zlib.compress(b"x" * 1000) * 50,
}
