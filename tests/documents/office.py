"""Office files made part by part, as small as the formats allow."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
ODF = 'xmlns:office="o" xmlns:text="t" xmlns:table="b" xmlns:draw="d" xmlns:presentation="p"'


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return buffer.getvalue()


def relations(**targets: str) -> str:
    """id -> "kind target"."""
    entries = "".join(
        f'<Relationship Id="{key}" Type="{RELATION}/{value.split()[0]}" Target="{value.split()[1]}"/>'
        for key, value in targets.items()
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{entries}</Relationships>'


def docx(body: str, parts: Mapping[str, str] | None = None, **related: str) -> bytes:
    """A Word document of this body; parts beside it, and how it refers to them."""
    return zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": relations(r1="officeDocument word/document.xml"),
            "word/document.xml": f"<w:document {W} {R}><w:body>{body}</w:body></w:document>",
            "word/_rels/document.xml.rels": relations(**related),
            **{f"word/{name}": content for name, content in (parts or {}).items()},
        }
    )


def paragraph(text: str, properties: str = "", run: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


def pptx(*slides: str, order: tuple[int, ...] | None = None) -> bytes:
    """A presentation of these slides' shapes; order: in which it lists them, 1-based."""
    numbers = order or tuple(range(1, len(slides) + 1))
    ids = "".join(f'<p:sldId id="{255 + number}" r:id="r{number}"/>' for number in numbers)
    return zipped(
        {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="p" {R}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations(**{f"r{n}": f"slide slides/slide{n}.xml" for n in numbers}),
            **{
                f"ppt/slides/slide{number}.xml": f'<p:sld xmlns:p="p" xmlns:a="a"><p:spTree>{shapes}</p:spTree></p:sld>'
                for number, shapes in enumerate(slides, start=1)
            },
        }
    )


def shape(text: str, placeholder: str = "") -> str:
    kind = f'<p:ph type="{placeholder}"/>' if placeholder else ""
    return f"<p:sp><p:nvPr>{kind}</p:nvPr><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"


def xlsx(sheets: Mapping[str, str], styles: str = "", strings: tuple[str, ...] = (), hidden: tuple[str, ...] = ()) -> bytes:
    """A workbook: name of a sheet -> its rows."""
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"{" state=" + chr(34) + "hidden" + chr(34) if name in hidden else ""}/>'
        for n, name in enumerate(sheets, start=1)
    )
    related = {f"r{n}": f"worksheet worksheets/sheet{n}.xml" for n in range(1, len(sheets) + 1)}
    return zipped(
        {
            "_rels/.rels": relations(r1="officeDocument xl/workbook.xml"),
            "xl/workbook.xml": f"<workbook {R}><sheets>{listed}</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": relations(**related, s="styles styles.xml", t="sharedStrings sharedStrings.xml"),
            "xl/styles.xml": f"<styleSheet>{styles}</styleSheet>",
            "xl/sharedStrings.xml": "<sst>" + "".join(f"<si><t>{text}</t></si>" for text in strings) + "</sst>",
            **{
                f"xl/worksheets/sheet{n}.xml": f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
                for n, rows in enumerate(sheets.values(), start=1)
            },
        }
    )


def opendocument(kind: str, body: str, **parts: str) -> bytes:
    """kind: text, spreadsheet or presentation; parts: others by name, dots as double underscores."""
    inside = f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    content = f"<office:document-content {ODF}>{inside}</office:document-content>"
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": content,
            **{name.replace("__", "."): text for name, text in parts.items()},
        }
    )


def epub(chapters: Mapping[str, str], spine: tuple[str, ...], titles: Mapping[str, str] | None = None) -> bytes:
    """A book: file name -> page; the order of reading; what its contents call the files."""
    items = "".join(f'<item id="i{n}" href="{name}"/>' for n, name in enumerate(chapters))
    refs = "".join(f'<itemref idref="i{list(chapters).index(name)}"/>' for name in spine)
    points = "".join(
        f'<navPoint><navLabel><text>{title}</text></navLabel><content src="{name}#top"/></navPoint>'
        for name, title in (titles or {}).items()
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OEBPS/b.opf"/></rootfiles></container>',
            "OEBPS/b.opf": f'<package><manifest><item id="n" href="t.ncx"/>{items}</manifest><spine>{refs}</spine></package>',
            "OEBPS/t.ncx": f"<ncx><docTitle><text>Book</text></docTitle><navMap>{points}</navMap></ncx>",
            **{f"OEBPS/{name}": page for name, page in chapters.items()},
        }
    )
