"""Small PDFs of the kinds that are easily read wrongly, made object by object."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pypdf
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, TextStringObject

from tests.documents.hostile import FONT, pdf_of, stream

BOX = b"/MediaBox [0 0 612 792]"


def painted(*contents: bytes, font: bytes = FONT, page: bytes = b"", catalog: bytes = b"", more: Sequence[bytes] = ()) -> bytes:
    """A page for each of these contents, with font /F; page, catalog: entries beside; more: objects from 4 on."""
    first = 4 + len(more)
    kids = b" ".join(b"%d 0 R" % (first + 2 * index) for index in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog,
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(contents), kids),
        font,
        *more,
    ]
    for index, content in enumerate(contents):
        parts = (BOX, first + 2 * index + 1, page)
        objects.append(b"<< /Type /Page /Parent 2 0 R %s /Contents %d 0 R /Resources << /Font << /F 3 0 R >> >> %s >>" % parts)
        objects.append(stream(content))
    return pdf_of(objects)


def lines(*texts: str, left: int = 72, top: int = 720) -> bytes:
    """The drawing of lines of text below each other."""
    shown = b" ".join(b"(%s) Tj T*" % text.encode("cp1252").replace(b"(", b"\\(").replace(b")", b"\\)") for text in texts)
    return b"BT /F 12 Tf %d %d Td 16 TL %s ET" % (left, top, shown)


def at(left: float, bottom: float, text: str, size: float = 12) -> bytes:
    """The drawing of a text at a place, in points."""
    return b"BT /F %g Tf 1 0 0 1 %g %g Tm (%s) Tj ET\n" % (size, left, bottom, text.encode("cp1252"))


def glyphs(text: str, letters: dict[int, str] | None, number: dict[str, int]) -> bytes:
    """A page of glyph numbers; letters: what the font's table says that they are, None where it has no such table."""
    table = b""
    if letters is not None:
        rows = b"\n".join(b"<%04X> <%s>" % (code, to.encode("utf-16-be").hex().encode()) for code, to in letters.items())
        table = (
            b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
            b"1 begincodespacerange <0000> <FFFF> endcodespacerange %d beginbfchar\n%s\nendbfchar endcmap"
            % (len(letters), rows)
        )
    to_unicode = b"/ToUnicode 6 0 R" if letters is not None else b""
    font = (
        b"<< /Type /Font /Subtype /Type0 /BaseFont /ABCDEF+T /Encoding /Identity-H /DescendantFonts [4 0 R] %s >>" % to_unicode
    )
    descendant = (
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /ABCDEF+T /FontDescriptor 5 0 R /DW 600 "
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>"
    )
    descriptor = (
        b"<< /Type /FontDescriptor /FontName /ABCDEF+T /Flags 4 /FontBBox [0 -200 1000 900] /ItalicAngle 0 /Ascent 800 "
        b"/Descent -200 /CapHeight 700 /StemV 80 >>"
    )
    shown = b"".join(b"%04X" % number[char] for char in text)
    return painted(b"BT /F 9 Tf 72 700 Td <%s> Tj ET" % shown, font=font, more=[descendant, descriptor, stream(table)])


def with_fields(data: bytes, fields: Sequence[dict[str, object]]) -> bytes:
    """The PDF with these entries as annotations of its first page, from the top down, none with an appearance."""
    writer = pypdf.PdfWriter(io.BytesIO(data))
    annotations = ArrayObject()
    for number, entries in enumerate(fields):
        annotation = DictionaryObject(
            {NameObject("/Type"): NameObject("/Annot"), NameObject("/Subtype"): NameObject("/Widget")}
        )
        box = [NumberObject(edge) for edge in (200, 600 - 30 * number, 400, 620 - 30 * number)]
        annotation[NameObject("/Rect")] = ArrayObject(box)
        for name, value in entries.items():
            annotation[NameObject(name)] = _entry(value)
        annotations.append(writer._add_object(annotation))
    writer.pages[0][NameObject("/Annots")] = annotations
    writer._root_object[NameObject("/AcroForm")] = DictionaryObject({NameObject("/Fields"): annotations})
    return written(writer)


def _entry(value: object) -> object:
    if isinstance(value, int):
        return NumberObject(value)
    if isinstance(value, list):
        return ArrayObject([_entry(each) for each in value])
    return NameObject(value) if str(value).startswith("/") else TextStringObject(value)


def with_attachments(data: bytes, files: dict[str, bytes]) -> bytes:
    """The PDF with files in it."""
    writer = pypdf.PdfWriter(io.BytesIO(data))
    for name, content in files.items():
        writer.add_attachment(name, content)
    return written(writer)


def written(writer: pypdf.PdfWriter) -> bytes:
    """What a writer has, as bytes."""
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()
